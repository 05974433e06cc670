/** For tests: a name server on loopback (UDP) that knows TXT and A records and calls every other name absent. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

const TYPE = { a: 1, txt: 16 };
const HEADER_BYTES = 12;

export class DnsServer {
  /** Name in lower case → values. */
  readonly txt = new Map<string, readonly string[]>();
  /** Name in lower case → IPv4 address; `*` stands for all that are not named. */
  readonly a = new Map<string, string>();
  readonly #socket: Socket;

  static async start(port = 0): Promise<DnsServer> {
    const server = new DnsServer();
    server.#socket.bind(port, "127.0.0.1");
    await once(server.#socket, "listening");
    return server;
  }

  private constructor() {
    this.#socket = createSocket("udp4");
    this.#socket.on("message", (query, { port, address }) => {
      const answer = this.#answer(query);
      if (answer !== null) this.#socket.send(answer, port, address);
    });
  }

  /** `ADDRESS:PORT`, as resolvers take it. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  async close(): Promise<void> {
    this.#socket.close();
    await once(this.#socket, "close");
  }

  #answer(query: Buffer): Buffer | null {
    const labels: string[] = [];
    let at = HEADER_BYTES;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.subarray(at + 1, at + 1 + length).toString("latin1"));
      at += 1 + length;
      if (at >= query.length) return null;
    }
    const end = at + 5;
    if (query.length < end) return null;
    const name = labels.join(".").toLowerCase();
    const values = this.#records(name, query.readUInt16BE(at + 1));
    const header = Buffer.alloc(HEADER_BYTES);
    query.copy(header, 0, 0, 2);
    const isKnown = values.length > 0 || this.txt.has(name) || this.a.has(name) || this.a.has("*");
    // An answer with authority; 3 says that there is no such name.
    header.writeUInt16BE(isKnown ? 0x8580 : 0x8583, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(values.length, 6);
    return Buffer.concat([header, query.subarray(HEADER_BYTES, end), ...values]);
  }

  #records(name: string, type: number): Buffer[] {
    if (type === TYPE.txt) {
      return (this.txt.get(name) ?? []).map((value) => {
        const text = Buffer.from(value);
        return record(type, Buffer.concat([Buffer.from([text.length]), text]));
      });
    }
    const address = type === TYPE.a ? (this.a.get(name) ?? this.a.get("*")) : undefined;
    return address === undefined ? [] : [record(type, Buffer.from(address.split(".").map(Number)))];
  }
}

/** Of the name in the question, class IN, to be kept for no time. */
function record(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}
