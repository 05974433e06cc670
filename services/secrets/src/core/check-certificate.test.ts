import { TestAuthority, type TestPair } from "@berth/shared/testing/certificates.ts";
import { beforeAll, describe, expect, test } from "vitest";
import { checkCertificate } from "./check-certificate.ts";

const DAY_MS = 24 * 3600 * 1000;
let authority: TestAuthority;
let leaf: TestPair;
let other: TestPair;
let expired: TestPair;
let early: TestPair;
let weak: TestPair;
let nameless: TestPair;

beforeAll(async () => {
  authority = await TestAuthority.create();
  const names = ["WWW.example.com", "*.example.com"];
  leaf = await authority.leaf({ names });
  other = await authority.leaf({ names: ["other.example"] });
  expired = await authority.leaf({ names, notAfterMs: Date.now() - 1000 });
  early = await authority.leaf({ names, notBeforeMs: Date.now() + DAY_MS });
  weak = await authority.leaf({ names, rsaBits: 1024 });
  nameless = await authority.leaf({ names: [] });
});

const check = (parts: readonly string[], key: string) =>
  checkCertificate({ chain: parts.join("\n"), key }, Date.now());

describe("checkCertificate", () => {
  test("a good chain is kept as it is", () => {
    const checked = check([leaf.certificate, authority.intermediate], leaf.key);
    expect(checked).toMatchObject({
      kind: "good",
      notes: [],
      info: { names: ["*.example.com", "www.example.com"], keyKind: "EC P-256" },
    });
  });

  test("order, root and strangers are put right, and no PEM text but certificates goes through", () => {
    const parts = [authority.root, "# a remark", other.certificate, authority.intermediate, leaf.certificate];
    const checked = check(parts, leaf.key);
    if (checked.kind !== "good") throw new Error(checked.reason);
    expect(checked.notes).toEqual([
      "the certificates were brought into order",
      "the root was left out: clients have it",
      "1 that are not part of the chain were left out",
    ]);
    const good = check([leaf.certificate, authority.intermediate], leaf.key);
    expect(checked.chain).toBe(good.kind === "good" ? good.chain : "");
    expect(checked.chain).not.toContain("remark");
  });

  test("a lone certificate is taken, with a warning", () => {
    expect(check([leaf.certificate], leaf.key)).toMatchObject({
      notes: ["there is no intermediate certificate: most clients will not trust it"],
    });
  });

  test("an RSA key of 2048 bits is good", async () => {
    const rsa = await authority.leaf({ names: ["rsa.example"], rsaBits: 2048 });
    expect(check([rsa.certificate, authority.intermediate], rsa.key)).toMatchObject({
      info: { keyKind: "RSA 2048" },
    });
  });

  test("what cannot be served is refused, with the reason and without the key", () => {
    const cases: [readonly string[], string, string][] = [
      [[leaf.certificate], other.key, "belongs to none"],
      [[expired.certificate], expired.key, "expired"],
      [[early.certificate], early.key, "not valid before"],
      [[weak.certificate], weak.key, "2048"],
      [[nameless.certificate], nameless.key, "no DNS name"],
      [[], leaf.key, "no certificate"],
      [["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"], leaf.key, "cannot be read"],
      [[leaf.certificate], "nonsense", "no private key"],
      [[leaf.certificate], leaf.key.replaceAll("PRIVATE", "ENCRYPTED PRIVATE"), "passphrase"],
      [Array.from({ length: 11 }, () => leaf.certificate), leaf.key, "at most 10"],
    ];
    for (const [parts, key, reason] of cases) {
      const checked = check(parts, key);
      expect(checked).toMatchObject({ kind: "refused", reason: expect.stringContaining(reason) });
      expect(JSON.stringify(checked)).not.toContain(leaf.key.split("\n")[1]);
    }
  });

  test("hosts' names that are none are left out; with nothing left it is refused", async () => {
    const odd = await authority.leaf({ names: ["com", "shop-main.berth.localhost"] });
    expect(check([odd.certificate], odd.key)).toMatchObject({
      info: { names: ["shop-main.berth.localhost"] },
    });
  });
});
