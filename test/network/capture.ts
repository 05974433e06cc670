/** Reads what two machines say to each other, off the bridge between them. */
import { spawn } from "node:child_process";
import { until } from "../git/until.ts";

export interface Capture {
  /** Ends when `isEnough`, and gives every byte of every packet, heads included. */
  stopAt(isEnough: (bytes: Buffer) => boolean): Promise<Buffer>;
  /** UDP ports of the packets in a capture. */
  udpPorts(bytes: Buffer): ReadonlySet<number>;
}

const FILE_HEAD_BYTES = 24;
const PACKET_HEAD_BYTES = 16;
const IP_AT = 14;
const UDP = 17;

export async function captureBetween(device: string, one: string, other: string): Promise<Capture> {
  const filter = `host ${one} and host ${other}`;
  const child = spawn("tcpdump", ["-i", device, "-U", "-s", "0", "-w", "-", filter], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const chunks: Buffer[] = [];
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
  });
  await until("tcpdump to listen", async () => said.includes("listening on") || undefined);
  return {
    stopAt: async (isEnough) => {
      const bytes = await until(
        "what the capture is to see",
        async () => {
          const all = Buffer.concat(chunks);
          return isEnough(all) ? all : undefined;
        },
        20_000,
      ).finally(() => child.kill("SIGTERM"));
      return bytes;
    },
    udpPorts,
  };
}

/** The format of libpcap: a head, then per packet a head with its length. */
function udpPorts(bytes: Buffer): ReadonlySet<number> {
  const found = new Set<number>();
  for (let at = FILE_HEAD_BYTES; at + PACKET_HEAD_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at + 8);
    const packet = bytes.subarray(at + PACKET_HEAD_BYTES, at + PACKET_HEAD_BYTES + length);
    at += PACKET_HEAD_BYTES + length;
    if (packet.length < IP_AT + 24 || packet.readUInt16BE(12) !== 0x0800 || packet[IP_AT + 9] !== UDP)
      continue;
    const head = ((packet[IP_AT] ?? 0) & 15) * 4;
    found.add(packet.readUInt16BE(IP_AT + head));
    found.add(packet.readUInt16BE(IP_AT + head + 2));
  }
  return found;
}
