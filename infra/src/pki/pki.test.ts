import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode, type User } from "@nats-io/jwt";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensureServerCertificate, isStillGood } from "./certificates.ts";
import { ensureCreds } from "./nats-accounts.ts";
import { ensurePodPki } from "./pod-pki.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "berth-pki-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("keys are made once, readable by their owner only", async () => {
  const first = await ensurePodPki(dir);
  const before = readFileSync(first.ca.keyFile, "utf8") + readFileSync(first.masterKeyFile, "utf8");
  const again = await ensurePodPki(dir);
  expect(readFileSync(again.ca.keyFile, "utf8") + readFileSync(again.masterKeyFile, "utf8")).toBe(before);
  expect(again.nats).toEqual(first.nats);
  for (const file of [first.ca.keyFile, first.masterKeyFile, first.nats.accountSeedFile]) {
    expect(statSync(file).mode & 0o777).toBe(0o600);
  }
});

test("a server certificate is signed by the CA, kept while good, renewed for a new address and before its end", async () => {
  const { ca } = await ensurePodPki(dir);
  const wanted = {
    ca,
    keyFile: join(dir, "nats.key"),
    certFile: join(dir, "nats.crt"),
    commonName: "nats",
    addresses: ["127.0.0.1", "localhost"],
  };
  const fingerprint = await ensureServerCertificate(wanted);
  expect(await ensureServerCertificate(wanted)).toBe(fingerprint);
  const pem = readFileSync(wanted.certFile, "utf8");
  const certificate = new X509Certificate(pem);
  expect(certificate.verify(new X509Certificate(readFileSync(ca.certFile)).publicKey)).toBe(true);
  expect(certificate.checkIP("127.0.0.1")).toBe("127.0.0.1");
  expect(isStillGood(pem, wanted, Date.now())).toBe(true);
  expect(isStillGood(pem, wanted, Date.now() + 320 * 24 * 3600 * 1000)).toBe(false);
  expect(await ensureServerCertificate({ ...wanted, addresses: [...wanted.addresses, "10.0.0.1"] })).not.toBe(
    fingerprint,
  );
});

test("credentials are signed again only when their permissions changed, with the same user key", async () => {
  const { nats } = await ensurePodPki(dir);
  const file = join(dir, "api.creds");
  const permissions = { publish: ["a.>", "b"], subscribe: ["_INBOX.api.>"] };
  const claims = () => decode<User>(/JWT-----\s*(\S+)/.exec(readFileSync(file, "utf8"))?.[1] ?? "");
  expect(await ensureCreds(nats, file, "api", permissions)).toBe(true);
  expect(await ensureCreds(nats, file, "api", { ...permissions, publish: ["b", "a.>"] })).toBe(false);
  const before = claims();
  expect(before).toMatchObject({ iss: nats.account, nats: { pub: { allow: ["a.>", "b"] } } });
  expect(await ensureCreds(nats, file, "api", { ...permissions, publish: ["c"] })).toBe(true);
  expect(claims().sub).toBe(before.sub);
});
