/** git's pkt-line framing: four hexadecimal digits of length (their own four bytes included), then the payload. */

const HEADER_BYTES = 4;
export const MAX_PACKET_BYTES = 65_520;

/** Cuts a stream into whole packets, header included. Flush and delimiter packets (`0000` to `0003`) come as such. */
export class PacketCutter {
  #held: Buffer = Buffer.alloc(0);

  /**
   * @returns the packets that are complete now, or null when the stream is not pkt-line: pass it on as it is then
   */
  push(chunk: Buffer): Buffer[] | null {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const packets: Buffer[] = [];
    while (rest.length >= HEADER_BYTES) {
      const length = packetLength(rest);
      if (length === null) {
        this.#held = rest;
        return null;
      }
      if (rest.length < length) break;
      packets.push(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    this.#held = rest;
    return packets;
  }

  /** Bytes of an incomplete packet. */
  take(): Buffer {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest;
  }
}

function packetLength(bytes: Buffer): number | null {
  const text = bytes.toString("latin1", 0, HEADER_BYTES);
  if (!/^[0-9a-fA-F]{4}$/.test(text)) return null;
  const length = Number.parseInt(text, 16);
  if (length < HEADER_BYTES) return HEADER_BYTES;
  return length <= MAX_PACKET_BYTES ? length : null;
}

/** A packet of side band 2, which git shows behind `remote: `. */
export function messagePacket(text: string): Buffer {
  const payload = Buffer.concat([Buffer.from([2]), Buffer.from(text)]);
  return Buffer.concat([Buffer.from((payload.length + HEADER_BYTES).toString(16).padStart(4, "0")), payload]);
}
