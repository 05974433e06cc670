import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { SealedCertificate } from "@berth/shared/contracts/certificate.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { createCurve } from "@berth/shared/kit/curve.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { TestAuthority } from "@berth/shared/testing/certificates.ts";
import { expect, onTestFinished, test } from "vitest";
import { CertificateKeeper } from "./certificate-keeper.ts";

async function stage() {
  const dir = await mkdtemp("/tmp/berth-keeper-");
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const [curve, secrets, hostId] = [createCurve(), createCurve(), newId("host")];
  const authority = await TestAuthority.create();
  const leaf = await authority.leaf({ names: ["a.example"] });
  const pem = `${leaf.certificate}\n${leaf.key}`;
  const seal = (certificateId: string, to = curve.publicKey, host: HostId = hostId): SealedCertificate =>
    ({
      ...{ certificateId, senderKey: secrets.publicKey },
      sealed: secrets.sealJson({ hostId: host, certificateId, pem }, to),
    }) as SealedCertificate;
  const given = { dir, hostId, curve, log: silentLog };
  const open = (ask: (ids: string[]) => Promise<SealedCertificate[]>) =>
    new CertificateKeeper({ ...given, ask });
  return { dir, pem, key: leaf.key, seal, open };
}

test("asks for what is named, keeps it sealed, has it again after a start without the control plane", async () => {
  const { dir, pem, key, seal, open } = await stage();
  const [one, two] = [newId("certificate"), newId("certificate")];
  const asked: string[][] = [];
  const keeper = open(async (ids) => {
    asked.push(ids);
    return ids.map((id) => seal(id));
  });
  await keeper.open();
  expect(await keeper.keep(new Set([one, two]))).toBe(true);
  expect(await keeper.keep(new Set([one, two]))).toBe(false);
  expect(asked).toEqual([[one, two]]);
  for (const name of await readdir(dir))
    expect(await readFile(join(dir, name), "utf8")).not.toContain(key.split("\n")[1]);
  const again = open(async () => {
    throw new Error("the control plane is away");
  });
  await again.open();
  expect(again.get(one)?.pem).toBe(pem);
  expect(again.get(one)?.fingerprint).toMatch(/^[0-9A-F]{40}$/);
  await again.keep(new Set([two]));
  expect(again.get(one)).toBeUndefined();
  expect(await readdir(dir)).toEqual([`${two}.json`]);
});

test("what is for another host, as another certificate or unasked for is not taken", async () => {
  const { dir, seal, open } = await stage();
  const [one, two, three] = [newId("certificate"), newId("certificate"), newId("certificate")];
  const keeper = open(async () => [
    seal(one, createCurve().publicKey),
    { ...seal(three), certificateId: two },
    seal(two, undefined, newId("host")),
    seal(three),
  ]);
  await keeper.open();
  expect(await keeper.keep(new Set([one, two]))).toBe(false);
  expect([one, two, three].map(keeper.get)).toEqual([undefined, undefined, undefined]);
  expect(await readdir(dir)).toEqual([]);
});

test("more than one answer may carry are asked for one after another", async () => {
  const { seal, open } = await stage();
  const sizes: number[] = [];
  const keeper = open(async (ids) => {
    sizes.push(ids.length);
    return ids.map((id) => seal(id));
  });
  await keeper.open();
  await keeper.keep(new Set(Array.from({ length: 45 }, () => newId("certificate"))));
  expect(sizes).toEqual([20, 20, 5]);
});
