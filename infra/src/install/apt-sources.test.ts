import { expect, test } from "vitest";
import { findDebianMirror, parseDeb822, parseOneLine } from "./apt-sources.ts";

const deb822 = `Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;

test("the deb822 format is read, comments inside a stanza included", () => {
  const [first, second] = parseDeb822(deb822);
  expect(first).toEqual({
    uri: "http://mirror.example/debian",
    suites: ["bookworm", "bookworm-updates"],
    components: ["main"],
    signedBy: "/usr/share/keyrings/debian-archive-keyring.gpg",
  });
  expect(second?.signedBy).toBeNull();
});

test("a stanza that is switched off or only has sources is left out, an inline key is no path", () => {
  expect(parseDeb822("Types: deb-src\nURIs: http://x/debian\nSuites: bookworm\nComponents: main\n")).toEqual(
    [],
  );
  expect(
    parseDeb822("Types: deb\nEnabled: no\nURIs: http://x/debian\nSuites: bookworm\nComponents: main\n"),
  ).toEqual([]);
  const inline =
    "Types: deb\nURIs: http://x/debian\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN PGP\n .\n abc\n";
  expect(parseDeb822(inline)[0]?.signedBy).toBeNull();
});

test("the one-line format is read with and without options", () => {
  const text =
    "# deb http://old/debian bookworm main\ndeb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main contrib # here\ndeb-src http://m/debian bookworm main\n";
  expect(parseOneLine(text)).toEqual([
    { uri: "http://m/debian", suites: ["bookworm"], components: ["main", "contrib"], signedBy: "/k.gpg" },
  ]);
});

test("the mirror is Debian's own, not another vendor's and not the security archive", () => {
  const vendor = parseOneLine(
    "deb https://packages.example/apt cloud-sdk-bookworm main\ndeb https://vendor.example nodistro main",
  );
  const security = parseOneLine("deb http://m/debian-security bookworm main");
  expect(findDebianMirror([...vendor, ...security, ...parseDeb822(deb822)], "bookworm")?.uri).toBe(
    "http://mirror.example/debian",
  );
  expect(findDebianMirror(vendor, "bookworm")).toBeNull();
});
