/**
 * All keys of a pod, in `<state>/pki`. Losing this folder means losing the pod: it belongs in the backup, and the
 * master key in it opens every stored secret.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type CertificateFiles, ensureCa, ensureSigner } from "./certificates.ts";
import { readOrCreate } from "./key-file.ts";
import { ensureNatsAccounts, type NatsAccounts } from "./nats-accounts.ts";

export type PodPki = {
  readonly dir: string;
  readonly ca: CertificateFiles;
  readonly registrySigner: CertificateFiles;
  /** 32 random bytes in base64: encrypts the keys of every service's variables. */
  readonly masterKeyFile: string;
  readonly nats: NatsAccounts;
};

export async function ensurePodPki(dir: string): Promise<PodPki> {
  const ca = { keyFile: join(dir, "ca.key"), certFile: join(dir, "ca.crt") };
  const registrySigner = {
    keyFile: join(dir, "registry-signing.key"),
    certFile: join(dir, "registry-signing.crt"),
  };
  const masterKeyFile = join(dir, "master.key");
  await ensureCa(ca, "Berth pod CA");
  await ensureSigner(registrySigner, "Berth registry tokens");
  await readOrCreate(masterKeyFile, () => `${randomBytes(32).toString("base64")}\n`);
  return { dir, ca, registrySigner, masterKeyFile, nats: await ensureNatsAccounts(join(dir, "nats")) };
}

/** The file of a password, made when missing. */
export async function ensurePassword(dir: string, name: string, make: () => string): Promise<string> {
  return (await readOrCreate(join(dir, "passwords", name), make)).trim();
}
