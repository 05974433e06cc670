/**
 * The first message of a WireGuard handshake, as a host sends it whose clock shows a time that is given: so a clock that was
 * wrong is played against real tunnels, without a change of the machine's clock, which all lab hosts share.
 *
 * After the WireGuard paper, section 5.4.2. Whoever hears it remembers its time and takes no older one from that key.
 */
import {
  createCipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
} from "node:crypto";
import type { WireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";

export interface Initiation {
  readonly own: WireguardKeys;
  readonly peerPublicKey: string;
  /** What the sender's clock shows. */
  readonly clockMs: number;
}

const construction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const identifier = "WireGuard v1 zx2c4 Jason@zx2c4.com";
const keyBytes = 32;
const macBytes = 16;

/** @returns 148 bytes */
export function handshakeInitiation({ own, peerPublicKey, clockMs }: Initiation): Buffer {
  const peer = Buffer.from(peerPublicKey, "base64");
  const ephemeral = generateKeyPairSync("x25519");
  const ephemeralPublic = Buffer.from(ephemeral.publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  let chain = hash(Buffer.from(construction));
  let transcript = hash(hash(chain, Buffer.from(identifier)), peer);
  chain = derive(chain, ephemeralPublic)[0];
  transcript = hash(transcript, ephemeralPublic);
  const seal = (secret: Buffer, plain: Buffer): Buffer => {
    const [next, key] = derive(chain, secret);
    const sealed = encrypt(key, plain, transcript);
    chain = next;
    transcript = hash(transcript, sealed);
    return sealed;
  };
  const toPeer = publicKeyOf(peer);
  const identity = seal(
    diffieHellman({ privateKey: ephemeral.privateKey, publicKey: toPeer }),
    Buffer.from(own.publicKey, "base64"),
  );
  const time = seal(diffieHellman({ privateKey: privateKeyOf(own), publicKey: toPeer }), tai64n(clockMs));
  const head = Buffer.from([1, 0, 0, 0, 0xbe, 0x47, 0, 1]);
  const message = Buffer.concat([head, ephemeralPublic, identity, time]);
  const macKey = hash(Buffer.from("mac1----"), peer);
  const mac = blake2s(message, { key: macKey, dkLen: macBytes });
  return Buffer.concat([message, mac, Buffer.alloc(macBytes)]);
}

function hash(...parts: readonly Buffer[]): Buffer {
  return Buffer.from(blake2s(Buffer.concat(parts)));
}

/** HKDF with two outputs. */
function derive(chain: Buffer, input: Buffer): [Buffer, Buffer] {
  const secret = hmac(blake2s, chain, input);
  const first = hmac(blake2s, secret, Buffer.from([1]));
  const second = hmac(blake2s, secret, Buffer.concat([first, Buffer.from([2])]));
  return [Buffer.from(first), Buffer.from(second)];
}

function encrypt(key: Buffer, plain: Buffer, about: Buffer): Buffer {
  const cipher = createCipheriv("chacha20-poly1305", key, Buffer.alloc(12), { authTagLength: macBytes });
  cipher.setAAD(about, { plaintextLength: plain.length });
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Seconds since 1970 TAI, and nanoseconds. */
function tai64n(ms: number): Buffer {
  const stamp = Buffer.alloc(12);
  stamp.writeBigUInt64BE(2n ** 62n + 10n + BigInt(Math.floor(ms / 1000)));
  stamp.writeUInt32BE((ms % 1000) * 1_000_000, 8);
  return stamp;
}

function publicKeyOf(raw: Buffer) {
  if (raw.length !== keyBytes) throw new Error("not an X25519 key");
  return createPublicKey({ key: { kty: "OKP", crv: "X25519", x: raw.toString("base64url") }, format: "jwk" });
}

function privateKeyOf({ privateKey, publicKey }: WireguardKeys) {
  const [d, x] = [privateKey, publicKey].map((half) => Buffer.from(half, "base64").toString("base64url"));
  return createPrivateKey({ key: { kty: "OKP", crv: "X25519", d: d ?? "", x: x ?? "" }, format: "jwk" });
}
