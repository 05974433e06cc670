import { describe, expect, test } from "vitest";
import { readAppFile } from "../kit/app-file.ts";
import {
  CorsOrigin,
  HeaderText,
  HttpOptions,
  MAX_HTTP_OPTIONS_BYTES,
  RedirectFrom,
  RedirectTo,
} from "./http-options.ts";
import { findRedirectLoop } from "./redirect-loop.ts";

const HOSTILE = [
  ...["a\nb", "a\rb", "a\r\nX: 1", "\n", "a\0b", "a\u2028b", "ü"],
  ...["%[src]\n", "a b\t", "\u007f", "", " a", "a "],
];

test.each(HOSTILE)("no header holds %j", (text) => expect(HeaderText.safeParse(text).success).toBe(false));

const IN_ADDRESSES = [
  ...[
    "\n",
    "\r\nSet-Cookie: a",
    " ",
    "\t",
    ";",
    "\\",
    '"',
    "'",
    "<",
    ">",
    "`",
    "{",
    "}",
    "[",
    "]",
    "|",
    "^",
    "ü",
  ],
  "\0",
];

test.each(IN_ADDRESSES)("no path, address or origin holds %j", (text) => {
  for (const path of [`/a${text}b`, `/${text}`, `/a${text}`]) {
    expect(RedirectFrom.safeParse(path).success, path).toBe(false);
    expect(RedirectTo.safeParse(path).success, path).toBe(false);
    expect(RedirectTo.safeParse(`https://a.example${path}`).success, path).toBe(false);
  }
  for (const host of [`a${text}.example`, `a.example${text}`, `${text}a.example`]) {
    expect(RedirectFrom.safeParse(host).success, host).toBe(false);
    expect(CorsOrigin.safeParse(`https://${host}`).success, host).toBe(false);
    expect(RedirectTo.safeParse(`https://${host}/`).success, host).toBe(false);
  }
});

describe("forms", () => {
  test.each(["/old", "/*", "/docs/*", "/a%20b", "/@me", "www.example.com"])("from %s", (text) =>
    expect(RedirectFrom.safeParse(text).success).toBe(true),
  );
  test.each([
    "/old*",
    "/a/*/b",
    "/a?b",
    "/a#b",
    "*.example.com",
    "WWW.example.com",
    "a@b",
    "a/b",
    "-a.example",
  ])("not from %s", (text) => expect(RedirectFrom.safeParse(text).success).toBe(false));
  test.each(["//evil.example", "javascript:alert(1)", "ftp://a.example", "https://u:p@a.example", "new"])(
    "not to %s",
    (text) => expect(RedirectTo.safeParse(text).success).toBe(false),
  );
  test.each(["https://app.example.com", "http://localhost:3000", "*"])("origin %s", (text) =>
    expect(CorsOrigin.safeParse(text).success).toBe(true),
  );
  test.each(["https://A.example", "https://a.example/", "null", "https://*.a.example", "a.example"])(
    "no origin %s",
    (text) => expect(CorsOrigin.safeParse(text).success).toBe(false),
  );
});

test("circles of redirects are found, ways out of them are not circles", () => {
  const go = (...pairs: [string, string][]) => findRedirectLoop(pairs.map(([from, to]) => ({ from, to })));
  expect(go(["/a", "/a"])).toBe(0);
  expect(go(["/x", "/a"], ["/a", "/b"], ["/b", "/a?x=1"])).toBe(1);
  expect(go(["/docs/*", "/docs/new"])).toBe(0);
  expect(go(["www.a.example", "https://a.example"], ["a.example", "https://www.a.example"])).toBe(0);
  expect(go(["/docs/*", "/docs/new"], ["/docs/new", "/other"])).toBe(null);
  expect(go(["/a", "/b"], ["/b", "/c"], ["www.a.example", "https://a.example"])).toBe(null);
  expect(go(["/a", "https://a.example/a"])).toBe(null);
});

test("all options together have a limit", () => {
  const headers = { "content-security-policy": "x".repeat(1000), "permissions-policy": "x".repeat(1000) };
  expect(HttpOptions.safeParse({ headers }).success).toBe(true);
  const redirects = Array.from({ length: 20 }, (_none, n) => ({
    from: `/${n}/${"a".repeat(100)}`,
    to: "/b",
    status: 301,
  }));
  expect(JSON.stringify(HttpOptions.safeParse({ headers, redirects }).error?.issues)).toContain(
    String(MAX_HTTP_OPTIONS_BYTES),
  );
});

describe("in berth.yaml", () => {
  const problems = (text: string) => {
    const read = readAppFile(text);
    return read.kind === "problems" ? read.problems.map(({ line, text: words }) => `${line} ${words}`) : [];
  };

  test("problems have lines, and unknown keys a suggestion", () => {
    const text = [
      ...["http:", "  body-limit: 10", "  stiky: true", "  cors:", "    origin: [a]", "    origins: ['*']"],
      ...["    credentials: true", "  redirects:", "    - from: /a", "      to: b", "      staus: 301"],
      ...["  headers:", "    Server: mine", "    X-Frame-Options: |", "      a", "      b"],
    ].join("\n");
    const found = problems(text);
    expect(found.map((one) => one.split(" ")[0])).toEqual(["2", "3", "5", "5", "10", "11", "13", "14"]);
    expect(found[0]).toContain("10MB");
    expect(found[1]).toContain("did you mean sticky?");
    expect(found[2]).toContain("did you mean origins?");
    expect(found[5]).toContain("did you mean status?");
    expect(found[6]).toContain("x-frame-options");
  });

  test("timeouts have limits, and each a unit", () => {
    const timeouts = (response: string, stream: string, websocket: string) =>
      problems(
        `http:\n  response-timeout: ${response}\n  stream-timeout: ${stream}\n  websocket-timeout: ${websocket}`,
      );
    expect(timeouts("1s", "24h", "10s")).toEqual([]);
    expect(timeouts("1h", "10s", "24h")).toEqual([]);
    const wrong = [timeouts("999ms", "9s", "25h"), timeouts("2h", "30", "-1s")].flat();
    expect(wrong.map((one) => one.split(" ").slice(0, 2).join(" "))).toEqual(
      [2, 3, 4, 2, 3, 4].map(
        (line) => `${line} http.${["response", "stream", "websocket"][line - 2]}-timeout:`,
      ),
    );
    expect(wrong[1]).toContain("10s to 24h");
  });

  test("problems of several keys together stand where they are", () => {
    expect(problems("http:\n  cors:\n    origins: ['*']\n    credentials: true")[0]).toMatch(
      /^3 http.cors: credentials/,
    );
    expect(
      problems("http:\n  redirects:\n    - from: /b\n      to: /c\n    - from: /a\n      to: /a")[0],
    ).toMatch(/^5 http.redirects.1: leads in a circle/);
    expect(problems("http:\n  headers:\n    Strict-Transport-Security: max-age=1")[0]).toContain(
      "berth domains set",
    );
    const host = "http:\n  redirects:\n    - from: www.a.example\n      to: https://a.example/x";
    expect(problems(host)[0]).toMatch(/^3 http.redirects.0: from a host name/);
  });

  test("defaults are filled in; without the part nothing is said", () => {
    const read = readAppFile(
      "http:\n  sticky: false\n  cors:\n    origins: ['*']\n  redirects:\n    - {from: /a, to: /b}",
    );
    expect(read.kind === "read" && read.wishes.config.http).toEqual({
      cors: {
        origins: ["*"],
        methods: ["GET", "HEAD", "POST"],
        headers: [],
        credentials: false,
        maxAgeSeconds: 600,
      },
      redirects: [{ from: "/a", to: "/b", status: 302 }],
    });
    const none = readAppFile("sleep:\n  after: 10m");
    expect(none.kind === "read" && none.wishes.config.http).toBe(undefined);
  });
});
