/**
 * Checks a certificate chain with its key as a person brings it, and puts right what can be: the order, certificates
 * that are not part of the chain, the root, which clients have themselves.
 *
 * Pure: the time is an argument. Nothing that it says holds a part of the key.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import {
  CERTIFICATE_LIMIT_BYTES,
  type CertificateInfo,
  type CertificatePair,
} from "@berth/shared/contracts/certificate.ts";
import { parseDomainName } from "@berth/shared/domain/domain-name.ts";

export type CheckedCertificate =
  | {
      readonly kind: "good";
      /** The certificate, then its intermediates, in PEM. */
      readonly chain: string;
      /** PKCS #8 in PEM. */
      readonly key: string;
      readonly info: CertificateInfo;
      readonly notes: readonly string[];
    }
  | { readonly kind: "refused"; readonly reason: string };

const MOST_CERTIFICATES = 10;
const MOST_NAMES = 100;
const LEAST_RSA_BITS = 2048;
/** Node's names of the curves that browsers take. */
const CURVES: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384" };
/** Clocks differ. */
const CLOCK_SLACK_MS = 5 * 60_000;

class Refusal extends Error {}

export function checkCertificate({ chain, key }: CertificatePair, nowMs: number): CheckedCertificate {
  try {
    return check(chain, key, nowMs);
  } catch (error) {
    if (error instanceof Refusal) return { kind: "refused", reason: error.message };
    throw error;
  }
}

function check(chainText: string, keyText: string, nowMs: number): CheckedCertificate {
  const key = readKey(keyText);
  const given = readChain(chainText);
  const leaf = given.find((one) => one.checkPrivateKey(key));
  if (leaf === undefined) throw new Refusal("the key belongs to none of the certificates");
  const { links, notes } = orderChain(leaf, given);
  for (const link of links) refuseByDates(link, nowMs);
  const info = describe(leaf, describeKey(key));
  const chain = links.map((link) => link.toString().trim()).join("\n");
  const pem = key.export({ type: "pkcs8", format: "pem" }).toString().trim();
  if (chain.length + pem.length + 2 > CERTIFICATE_LIMIT_BYTES)
    throw new Refusal(
      `certificate, intermediates and key are over ${CERTIFICATE_LIMIT_BYTES} bytes together`,
    );
  return { kind: "good", chain: `${chain}\n`, key: `${pem}\n`, info, notes };
}

function readKey(text: string): KeyObject {
  if (/ENCRYPTED/.test(text)) throw new Refusal("the key is encrypted: bring it without a passphrase");
  try {
    return createPrivateKey(text);
  } catch {
    throw new Refusal("the key is no private key in PEM");
  }
}

function readChain(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Refusal("there is no certificate in PEM");
  if (blocks.length > MOST_CERTIFICATES)
    throw new Refusal(`a chain may have at most ${MOST_CERTIFICATES} certificates`);
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new Refusal(`certificate ${index + 1} cannot be read`);
    }
  });
}

/** From the certificate up, as far as what was given goes; a root is left out. */
function orderChain(
  leaf: X509Certificate,
  given: readonly X509Certificate[],
): { readonly links: X509Certificate[]; readonly notes: string[] } {
  const links = [leaf];
  const left = new Map(given.map((one) => [one.fingerprint256, one]));
  left.delete(leaf.fingerprint256);
  let root = false;
  for (let last = leaf; !isSelfSigned(last); ) {
    const issuer = [...left.values()].find((one) => isIssuedBy(last, one));
    if (issuer === undefined) break;
    left.delete(issuer.fingerprint256);
    root = isSelfSigned(issuer);
    if (root) break;
    links.push(issuer);
    last = issuer;
  }
  return { links, notes: notesOf(links, given, left.size, root) };
}

function notesOf(
  links: readonly X509Certificate[],
  given: readonly X509Certificate[],
  unrelated: number,
  root: boolean,
): string[] {
  const [leaf] = links;
  const isInOrder = links.every((link, index) => link.fingerprint256 === given[index]?.fingerprint256);
  const isAlone = links.length === 1 && leaf !== undefined && !isSelfSigned(leaf) && !root;
  return [
    ...(isInOrder ? [] : ["the certificates were brought into order"]),
    ...(root ? ["the root was left out: clients have it"] : []),
    ...(unrelated > 0 ? [`${unrelated} that are not part of the chain were left out`] : []),
    ...(isAlone ? ["there is no intermediate certificate: most clients will not trust it"] : []),
    ...(leaf !== undefined && isSelfSigned(leaf)
      ? ["it is self-signed: clients must be told to trust it"]
      : []),
  ];
}

function isIssuedBy(one: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && one.checkIssued(issuer) && one.verify(issuer.publicKey);
}

function isSelfSigned(one: X509Certificate): boolean {
  return one.subject === one.issuer && one.verify(one.publicKey);
}

function refuseByDates(one: X509Certificate, nowMs: number): void {
  const name = one.subject.replaceAll("\n", ", ");
  if (one.validToDate.getTime() <= nowMs) throw new Refusal(`${name} expired at ${one.validTo}`);
  if (one.validFromDate.getTime() > nowMs + CLOCK_SLACK_MS)
    throw new Refusal(`${name} is not valid before ${one.validFrom}`);
  const { asymmetricKeyType, asymmetricKeyDetails } = one.publicKey;
  if (asymmetricKeyType === "rsa" && (asymmetricKeyDetails?.modulusLength ?? 0) < LEAST_RSA_BITS)
    throw new Refusal(`${name} has an RSA key of less than ${LEAST_RSA_BITS} bits`);
  const algorithm = one.signatureAlgorithm ?? "unknown";
  if (/sha1|md5/i.test(algorithm)) throw new Refusal(`${name} is signed with ${algorithm}, which is broken`);
}

function describeKey(key: KeyObject): string {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "rsa") {
    const bits = details?.modulusLength ?? 0;
    if (bits < LEAST_RSA_BITS)
      throw new Refusal(`an RSA key needs ${LEAST_RSA_BITS} bits, this one has ${bits}`);
    return `RSA ${bits}`;
  }
  const curve = type === "ec" ? CURVES[details?.namedCurve ?? ""] : undefined;
  if (curve === undefined) throw new Refusal("the key must be RSA, or EC on the curve P-256 or P-384");
  return `EC ${curve}`;
}

function describe(leaf: X509Certificate, keyKind: string): CertificateInfo {
  if (leaf.ca && !isSelfSigned(leaf)) throw new Refusal("the key is that of an authority, not of a server");
  const names = namesOf(leaf);
  if (names.length === 0) throw new Refusal("the certificate has no DNS name as a subject alternative name");
  if (names.length > MOST_NAMES) throw new Refusal(`a certificate may have at most ${MOST_NAMES} names`);
  return {
    names,
    issuer: leaf.issuer.replaceAll("\n", ", ").slice(0, 500),
    notBeforeMs: leaf.validFromDate.getTime(),
    notAfterMs: leaf.validToDate.getTime(),
    fingerprint: leaf.fingerprint256.replaceAll(":", "").toLowerCase(),
    keyKind,
  };
}

/** Names that Node had to quote hold a comma or a control character: such a certificate is not taken. */
function namesOf(leaf: X509Certificate): string[] {
  const text = leaf.subjectAltName ?? "";
  if (text.includes('"')) throw new Refusal("a subject alternative name has characters that no name has");
  const names = text
    .split(", ")
    .filter((entry) => entry.startsWith("DNS:"))
    .map((entry) => entry.slice(4).toLowerCase());
  return [...new Set(names.filter(isServable))].sort();
}

/** `localhost` names are the pod's own in a demo. */
function isServable(name: string): boolean {
  const parsed = parseDomainName(name);
  return (parsed.kind === "name" && parsed.name === name) || /^(\*\.)?([a-z0-9-]+\.)+localhost$/.test(name);
}
