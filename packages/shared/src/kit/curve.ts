/** Sealing to a curve key (X25519 + XSalsa20-Poly1305): only the holder of the recipient's seed can open it. */

import type { KeyPair } from "@nats-io/nkeys";
import { fromCurveSeed, createCurve as nkeysCurve } from "@nats-io/nkeys";

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

function wrap(pair: KeyPair): Curve {
  return {
    publicKey: pair.getPublicKey(),
    seed: () => new TextDecoder().decode(pair.getSeed()),
    sealJson(value, recipientPublicKey) {
      const clear = new TextEncoder().encode(JSON.stringify(value));
      return Buffer.from(pair.seal(clear, recipientPublicKey)).toString("base64");
    },
    openJson(sealedBase64, senderPublicKey) {
      const clear = pair.open(Buffer.from(sealedBase64, "base64"), senderPublicKey);
      if (clear === null) throw new Error("the sealed message was not meant for this key or was changed");
      return JSON.parse(new TextDecoder().decode(clear)) as unknown;
    },
  };
}
