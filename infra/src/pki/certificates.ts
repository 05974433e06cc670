/**
 * The pod's own certificate authority (EC P-256) and the certificates under it.
 *
 * The CA is made once and kept for ten years; hosts and Docker Engines trust it by file. Server certificates last
 * a year and are renewed by `berth up` when less than 60 days are left or when their addresses changed.
 */
import "reflect-metadata";
import { createPrivateKey, X509Certificate as NodeCertificate, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";
import type { UserIds } from "../supervisor/user.ts";
import { readIfThere, readOrCreate, replaceFile } from "./key-file.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 24 * 60 * 60 * 1000;
const caDays = 3650;
const leafDays = 365;
const renewBeforeDays = 60;
/** Clocks of hosts may be behind ours. */
const backdateMs = 60 * 60 * 1000;

x509.cryptoProvider.set(webcrypto);

export type CertificateFiles = { readonly keyFile: string; readonly certFile: string };

export async function ensureCa(files: CertificateFiles, commonName: string): Promise<void> {
  const keyPem = await readOrCreate(files.keyFile, newKeyPem);
  await readOrCreate(files.certFile, async () => await selfSigned(keyPem, commonName, caExtensions()), 0o644);
}

/** A key pair whose certificate vouches for itself: the registry trusts exactly this one signer of tokens. */
export async function ensureSigner(files: CertificateFiles, commonName: string): Promise<void> {
  const keyPem = await readOrCreate(files.keyFile, newKeyPem);
  const extensions = [new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)];
  await readOrCreate(files.certFile, async () => await selfSigned(keyPem, commonName, extensions), 0o644);
}

/** A key that others know by its public half only, such as that of an account. */
export async function ensureKeyFile(keyFile: string): Promise<void> {
  await readOrCreate(keyFile, newKeyPem);
}

export type ServerCertificate = CertificateFiles & {
  readonly ca: CertificateFiles;
  readonly commonName: string;
  /** IP addresses and DNS names that clients connect to. */
  readonly addresses: readonly string[];
  /** The user that the server runs as; it must be able to read its key. */
  readonly owner?: UserIds;
};

/** @returns the certificate's fingerprint: it changes when a new one was issued, and then the server must restart. */
export async function ensureServerCertificate(wanted: ServerCertificate): Promise<string> {
  const present = await readIfThere(wanted.certFile);
  if (present !== null && isStillGood(present, wanted, Date.now()))
    return new NodeCertificate(present).fingerprint256;
  const key = (await readIfThere(wanted.keyFile)) ?? (await newKeyPem());
  const certificate = await signLeaf(wanted, key);
  await replaceFile(wanted.keyFile, key, wanted.owner);
  await replaceFile(wanted.certFile, certificate, wanted.owner, 0o644);
  return new NodeCertificate(certificate).fingerprint256;
}

export function isStillGood(
  pem: string,
  wanted: Pick<ServerCertificate, "addresses">,
  nowMs: number,
): boolean {
  const certificate = new NodeCertificate(pem);
  if (certificate.validToDate.getTime() - nowMs < renewBeforeDays * dayMs) return false;
  return wanted.addresses.every((address) =>
    isIP(address) === 0
      ? certificate.checkHost(address) !== undefined
      : certificate.checkIP(address) !== undefined,
  );
}

async function signLeaf(wanted: ServerCertificate, keyPem: string): Promise<string> {
  const [caPem, caKeyPem] = [await readIfThere(wanted.ca.certFile), await readIfThere(wanted.ca.keyFile)];
  if (caPem === null || caKeyPem === null)
    throw new Error(`the pod's CA is missing: ${wanted.ca.certFile} and ${wanted.ca.keyFile}`);
  const ca = new x509.X509Certificate(caPem);
  const { publicKey } = await keyPair(keyPem);
  const names = wanted.addresses.map((value) => ({
    type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const),
    value,
  }));
  const leaf = await x509.X509CertificateGenerator.create({
    subject: `CN=${wanted.commonName}`,
    issuer: ca.subject,
    notBefore: new Date(Date.now() - backdateMs),
    notAfter: new Date(Date.now() + leafDays * dayMs),
    publicKey,
    signingKey: (await keyPair(caKeyPem)).privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names),
      await x509.AuthorityKeyIdentifierExtension.create(ca.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return `${leaf.toString("pem")}\n`;
}

async function selfSigned(keyPem: string, commonName: string, extensions: x509.Extension[]): Promise<string> {
  const keys = await keyPair(keyPem);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${commonName}`,
    keys,
    notBefore: new Date(Date.now() - backdateMs),
    notAfter: new Date(Date.now() + caDays * dayMs),
    signingAlgorithm: algorithm,
    extensions: [...extensions, await x509.SubjectKeyIdentifierExtension.create(keys.publicKey)],
  });
  return `${certificate.toString("pem")}\n`;
}

function caExtensions(): x509.Extension[] {
  const usages = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
  return [new x509.BasicConstraintsExtension(true, 0, true), new x509.KeyUsagesExtension(usages, true)];
}

async function newKeyPem(): Promise<string> {
  const pair = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", pair.privateKey), "PRIVATE KEY");
}

async function keyPair(keyPem: string): Promise<webcrypto.CryptoKeyPair> {
  const privateKey = createPrivateKey(keyPem);
  const { d: _secret, key_ops: _operations, ...publicJwk } = privateKey.export({ format: "jwk" });
  const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
  return {
    privateKey: await webcrypto.subtle.importKey("pkcs8", pkcs8, algorithm, true, ["sign"]),
    publicKey: await webcrypto.subtle.importKey("jwk", publicJwk, algorithm, true, ["verify"]),
  };
}
