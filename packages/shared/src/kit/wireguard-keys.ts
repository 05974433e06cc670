/** A WireGuard key pair: X25519, both halves in base 64. */
import { generateKeyPairSync } from "node:crypto";

export interface WireguardKeys {
  readonly privateKey: string;
  readonly publicKey: string;
}

export function newWireguardKeys(): WireguardKeys {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const [secret, open] = [privateKey.export({ format: "jwk" }).d, publicKey.export({ format: "jwk" }).x];
  if (secret === undefined || open === undefined) throw new Error("an X25519 key without its halves");
  const base64 = (half: string) => Buffer.from(half, "base64url").toString("base64");
  return { privateKey: base64(secret), publicKey: base64(open) };
}
