/** An upstream name server that answers each question for an address with the one that the test has for its first label. */
import { createSocket } from "node:dgram";
import { once } from "node:events";

const headerBytes = 12;
const typeA = 1;

export interface NameServer {
  /** Names that were asked for. */
  readonly asked: ReadonlySet<string>;
  close(): Promise<void>;
}

export async function serveNames(
  address: string,
  answers: Readonly<Record<string, string>>,
): Promise<NameServer> {
  const socket = createSocket("udp4");
  const asked = new Set<string>();
  socket.on("message", (query, from) => {
    const { name, type, endsAt } = questionOf(query);
    asked.add(name);
    const found = type === typeA ? answers[name.split(".")[0] ?? ""] : undefined;
    socket.send(answerTo(query.subarray(0, endsAt), found), from.port, from.address);
  });
  socket.bind(53, address);
  await once(socket, "listening");
  return {
    asked,
    close: async () => {
      socket.close();
      await once(socket, "close");
    },
  };
}

function questionOf(query: Buffer): { name: string; type: number; endsAt: number } {
  const labels: string[] = [];
  let at = headerBytes;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
  }
  return { name: labels.join("."), type: query.readUInt16BE(at + 1), endsAt: at + 5 };
}

/** @param question the query's header and question @param address none: there is such a name, and nothing of it */
function answerTo(question: Buffer, address: string | undefined): Buffer {
  const head = Buffer.from(question);
  head.writeUInt16BE(0x8180, 2);
  head.fill(0, 6, headerBytes);
  if (address === undefined) return head;
  head.writeUInt16BE(1, 6);
  const record = Buffer.from([0xc0, headerBytes, 0, typeA, 0, 1, 0, 0, 0, 30, 0, 4]);
  return Buffer.concat([head, record, Buffer.from(address.split(".").map(Number))]);
}
