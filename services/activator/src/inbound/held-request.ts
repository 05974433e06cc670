/**
 * One connection of the edge: its head is read and its body left where it is until an instance takes it.
 *
 * What must stay true: bytes go to one instance only, after it was connected; a request that was given to none is
 * answered by the activator. The edge gives every connection one request, so after the head all is copied.
 */
import type { Socket } from "node:net";
import { answer, type Refusal } from "../core/answers.ts";
import { readHead } from "../core/read-head.ts";

const HEAD_MS = 10_000;
const LINGER_MS = 2000;

export class HeldRequest {
  readonly #client: Socket;
  #bytes = Buffer.alloc(0);
  #over = false;
  readonly gone: Promise<void>;

  /** @param onHead called once, with the host name that the request is for */
  constructor(client: Socket, onHead: (request: HeldRequest, hostname: string) => void) {
    this.#client = client;
    this.gone = new Promise((resolve) => client.once("close", resolve));
    client.on("error", () => client.destroy());
    client.setTimeout(HEAD_MS, () => this.refuse("bad"));
    client.on("data", (chunk) => this.#take(chunk, onHead));
  }

  /** True when the edge went away, or it was answered or handed over. */
  get over(): boolean {
    return this.#over || this.#client.destroyed;
  }

  #take(chunk: Buffer, onHead: (request: HeldRequest, hostname: string) => void): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    const head = readHead(this.#bytes);
    if (head.kind === "partial") return;
    this.#client.removeAllListeners("data");
    this.#client.pause();
    this.#client.setTimeout(0);
    if (head.kind === "refused") this.refuse("bad");
    else onHead(this, head.hostname);
  }

  refuse(refusal: Refusal): void {
    if (this.over) return;
    this.#over = true;
    this.#client.end(answer(refusal));
    // What was not read would make the end a reset, which may overtake the answer.
    this.#client.resume();
    this.#client.setTimeout(LINGER_MS, () => this.#client.destroy());
  }

  /** From here on the two are one connection: an end or a failure of one is passed on. */
  handTo(instance: Socket): void {
    this.#over = true;
    instance.write(this.#bytes);
    this.#bytes = Buffer.alloc(0);
    instance.setTimeout(0);
    instance.on("error", () => this.#client.destroy());
    instance.once("close", () => this.#client.destroySoon());
    this.#client.once("close", () => instance.destroy());
    this.#client.pipe(instance);
    instance.pipe(this.#client);
  }
}
