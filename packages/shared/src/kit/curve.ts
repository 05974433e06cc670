/**
 * Sealing to a curve key (X25519 + XSalsa20-Poly1305, as nkeys does it): only the holder of the recipient's seed can
 * open it. The key that two parties share is worked out once per pair, which is nearly all of the cost.
 */

import type { KeyPair } from "@nats-io/nkeys";
import { fromCurveSeed, createCurve as nkeysCurve } from "@nats-io/nkeys";
import nacl from "tweetnacl";

export interface Curve {
  readonly publicKey: string;
  /** Keep it in memory or in a file that only root reads. */
  seed(): string;
  /** @returns base64 of the sealed JSON */
  sealJson(value: unknown, recipientPublicKey: string): string;
  /** @throws Error when it was not sealed for this key by that sender, or was changed */
  openJson(sealedBase64: string, senderPublicKey: string): unknown;
}

export function createCurve(): Curve {
  return wrap(nkeysCurve());
}

export function curveFromSeed(seed: string): Curve {
  return wrap(fromCurveSeed(new TextEncoder().encode(seed.trim())));
}

/** First bytes of what nkeys seals; then the nonce, then the box. */
const HEADER = Buffer.from("xkv1");
const NONCE_BYTES = nacl.box.nonceLength;
const KEY_BYTES = nacl.box.publicKeyLength;
const MOST_PARTNERS = 2000;

function wrap(pair: KeyPair): Curve {
  const secretKey = base32(new TextDecoder().decode(pair.getSeed())).subarray(2, 2 + KEY_BYTES);
  const partners = new Map<string, Uint8Array>();
  const sharedWith = (publicKey: string): Uint8Array => {
    const known = partners.get(publicKey);
    if (known !== undefined) return known;
    // Throws unless it is a curve's public key with the right check sum.
    pair.seal(new Uint8Array(), publicKey);
    const made = nacl.box.before(base32(publicKey).subarray(1, 1 + KEY_BYTES), secretKey);
    const [oldest] = partners.keys();
    if (partners.size >= MOST_PARTNERS && oldest !== undefined) partners.delete(oldest);
    partners.set(publicKey, made);
    return made;
  };
  return {
    publicKey: pair.getPublicKey(),
    seed: () => new TextDecoder().decode(pair.getSeed()),
    sealJson(value, recipientPublicKey) {
      const clear = new TextEncoder().encode(JSON.stringify(value));
      const nonce = nacl.randomBytes(NONCE_BYTES);
      const box = nacl.box.after(clear, nonce, sharedWith(recipientPublicKey));
      return Buffer.concat([HEADER, nonce, box]).toString("base64");
    },
    openJson(sealedBase64, senderPublicKey) {
      const clear = openBox(Buffer.from(sealedBase64, "base64"), sharedWith(senderPublicKey));
      if (clear === null) throw new Error("the sealed message was not meant for this key or was changed");
      return JSON.parse(new TextDecoder().decode(clear)) as unknown;
    },
  };
}

function openBox(message: Buffer, shared: Uint8Array): Uint8Array | null {
  const start = HEADER.length + NONCE_BYTES;
  if (message.length <= start || !message.subarray(0, HEADER.length).equals(HEADER)) return null;
  return nacl.box.open.after(message.subarray(start), message.subarray(HEADER.length, start), shared);
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Of a key or seed as nkeys writes it, without padding. */
function base32(text: string): Uint8Array {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const letter of text) {
    value = (value << 5) | ALPHABET.indexOf(letter);
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((value >> bits) & 0xff);
    value &= (1 << bits) - 1;
  }
  return Uint8Array.from(bytes);
}
