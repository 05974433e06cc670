/**
 * Small UDP packets through every tunnel, answered by the agent at its other end.
 *
 * One socket per own address, so that a probe leaves by the tunnel that it is about. Each round sends some of
 * them, in turn: the cost does not grow with the tunnels.
 */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { PROBE_PORT } from "../core/firewall.ts";
import { noteProbe, type ProbeSummary, probesPerRound, summarize, type Window } from "../core/judge-peer.ts";

/** From our own address in a network to that of another host. */
export interface ProbePath {
  readonly key: string;
  readonly from: string;
  readonly to: string;
}

interface Sent {
  readonly key: string;
  readonly atMs: number;
}

const ANSWER_MS = 2000;
const ID_BYTES = 8;
const [ASK, ANSWER] = [0x51, 0x41];

export class Prober {
  readonly #nowMs: () => number;
  readonly #sockets = new Map<string, Socket>();
  readonly #windows = new Map<string, Window>();
  readonly #sent = new Map<string, Sent>();
  readonly #heardAtMs = new Map<string, number>();
  #turn = 0;

  /** @param nowMs monotonic */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  summary(key: string): ProbeSummary {
    return summarize(this.#windows.get(key) ?? []);
  }

  /** When the last answer came; null when none did. */
  heardAtMs(key: string): number | null {
    return this.#heardAtMs.get(key) ?? null;
  }

  /** @param quiet paths on which others are answered, and nobody is asked */
  round(paths: readonly ProbePath[], quiet: readonly ProbePath[] = []): void {
    this.#forgetOthers(paths, quiet);
    for (const { from } of quiet) this.#socketOf(from);
    this.#countLost();
    const count = probesPerRound(paths.length);
    for (let i = 0; i < count; i += 1) {
      const path = paths[(this.#turn + i) % paths.length];
      if (path !== undefined) this.#send(path);
    }
    this.#turn = paths.length === 0 ? 0 : (this.#turn + count) % paths.length;
  }

  #send({ key, from, to }: ProbePath): void {
    const id = randomBytes(ID_BYTES);
    this.#sent.set(id.toString("hex"), { key, atMs: this.#nowMs() });
    // What cannot be sent counts as lost, like what is never answered.
    this.#socketOf(from).send(Buffer.concat([Buffer.from([ASK]), id]), PROBE_PORT, to, () => {});
  }

  #socketOf(address: string): Socket {
    const known = this.#sockets.get(address);
    if (known !== undefined) return known;
    const socket = createSocket({ type: "udp4", reuseAddr: true });
    this.#sockets.set(address, socket);
    socket.on("message", (message, from) => {
      if (message.length !== ID_BYTES + 1 || from.port !== PROBE_PORT) return;
      if (message[0] === ASK) {
        const answer = Buffer.concat([Buffer.from([ANSWER]), message.subarray(1)]);
        socket.send(answer, PROBE_PORT, from.address, () => {});
      }
      if (message[0] === ANSWER) this.#answered(message.subarray(1).toString("hex"));
    });
    socket.on("error", () => this.#drop(address));
    // The address is the bridge's or the mesh's; one that is not there yet is tried again in the next round.
    socket.bind(PROBE_PORT, address);
    socket.unref();
    return socket;
  }

  #answered(id: string): void {
    const sent = this.#sent.get(id);
    if (sent === undefined) return;
    this.#sent.delete(id);
    const nowMs = this.#nowMs();
    this.#heardAtMs.set(sent.key, nowMs);
    this.#windows.set(sent.key, noteProbe(this.#windows.get(sent.key) ?? [], nowMs - sent.atMs));
  }

  #countLost(): void {
    const before = this.#nowMs() - ANSWER_MS;
    for (const [id, { key, atMs }] of this.#sent) {
      if (atMs > before) continue;
      this.#sent.delete(id);
      this.#windows.set(key, noteProbe(this.#windows.get(key) ?? [], null));
    }
  }

  #forgetOthers(paths: readonly ProbePath[], quiet: readonly ProbePath[]): void {
    const keys = new Set(paths.map(({ key }) => key));
    const addresses = new Set([...paths, ...quiet].map(({ from }) => from));
    for (const key of this.#windows.keys()) if (!keys.has(key)) this.#windows.delete(key);
    for (const key of this.#heardAtMs.keys()) if (!keys.has(key)) this.#heardAtMs.delete(key);
    for (const address of this.#sockets.keys()) if (!addresses.has(address)) this.#drop(address);
  }

  #drop(address: string): void {
    const socket = this.#sockets.get(address);
    this.#sockets.delete(address);
    try {
      socket?.close();
    } catch {
      // It was closed by its own error.
    }
  }

  close(): void {
    for (const address of [...this.#sockets.keys()]) this.#drop(address);
  }
}
