/**
 * Envelope encryption: the master key wraps data keys, a data key seals values. AES-256-GCM; the context (what the
 * cipher text is, and whose) is authenticated, so a row moved to another org or service does not open.
 *
 * Pure: the nonce is an argument.
 */
import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** @param nonce 12 random bytes, never used twice with one key  @returns nonce ‖ tag ‖ cipher text */
export function seal(key: Buffer, clear: Buffer, context: string, nonce: Buffer): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.from(context));
  const sealed = Buffer.concat([cipher.update(clear), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
}

/** @throws Error when the key, the context or the bytes are not those of `seal` */
export function open(key: Buffer, sealed: Buffer, context: string): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, NONCE_BYTES));
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
}

/** Tells "changed" without telling the value: 8 hex digits of a keyed hash, so that short values cannot be guessed from it. */
export function fingerprint(key: Buffer, name: string, value: string): string {
  return createHmac("sha256", key).update(`${name}\0${value}`).digest("hex").slice(0, 8);
}
