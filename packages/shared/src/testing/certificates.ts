/** For tests: an authority with an intermediate, and server certificates under it. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 24 * 3600 * 1000;

export interface TestPair {
  readonly certificate: string;
  /** PKCS #8 in PEM. */
  readonly key: string;
}

interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

type Algorithm = typeof EC | (webcrypto.RsaHashedKeyGenParams & { readonly hash: string });

export interface LeafOptions {
  readonly names: readonly string[];
  readonly notAfterMs?: number;
  readonly notBeforeMs?: number;
  /** RSA of so many bits instead of EC P-256. */
  readonly rsaBits?: number;
}

export class TestAuthority {
  readonly #root: Issuer;
  readonly #intermediate: Issuer;

  static async create(): Promise<TestAuthority> {
    x509.cryptoProvider.set(webcrypto);
    const root = await issue("Test root", null, { ca: true });
    return new TestAuthority(root, await issue("Test intermediate", root, { ca: true }));
  }

  private constructor(root: Issuer, intermediate: Issuer) {
    this.#root = root;
    this.#intermediate = intermediate;
  }

  get root(): string {
    return this.#root.certificate.toString("pem");
  }

  get intermediate(): string {
    return this.#intermediate.certificate.toString("pem");
  }

  async leaf(options: LeafOptions): Promise<TestPair> {
    const made = await issue(options.names[0] ?? "leaf", this.#intermediate, { ca: false, ...options });
    const der = await webcrypto.subtle.exportKey("pkcs8", made.keys.privateKey);
    return {
      certificate: made.certificate.toString("pem"),
      key: x509.PemConverter.encode(der, "PRIVATE KEY"),
    };
  }
}

async function issue(
  commonName: string,
  issuer: Issuer | null,
  options: { readonly ca: boolean } & Partial<LeafOptions>,
): Promise<Issuer> {
  const {
    rsaBits,
    names = [],
    notBeforeMs = Date.now() - DAY_MS,
    notAfterMs = Date.now() + 90 * DAY_MS,
  } = options;
  const algorithm: Algorithm =
    rsaBits === undefined
      ? EC
      : {
          name: "RSASSA-PKCS1-v1_5",
          hash: "SHA-256",
          modulusLength: rsaBits,
          publicExponent: new Uint8Array([1, 0, 1]),
        };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    "sign",
    "verify",
  ])) as webcrypto.CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${commonName}`,
    issuer: issuer?.certificate.subject ?? `CN=${commonName}`,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: issuer === null ? algorithm : EC,
    extensions: [
      new x509.BasicConstraintsExtension(options.ca, undefined, true),
      ...(names.length > 0
        ? [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns" as const, value })))]
        : []),
    ],
  });
  return { certificate, keys };
}
