/**
 * The host's ends of passages: each a TCP connection to an instance that runs here.
 *
 * What must stay true: only a ready instance of the environment that was asked for is connected to, at the address that
 * this host knows of it; a passage ends when its instance does; what waits in memory is bounded by their number.
 */
import { connect, type Socket } from "node:net";
import type { PassageFrame } from "@berth/shared/contracts/passage.ts";
import type { PassageId } from "@berth/shared/domain/ids.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { PassageEnd, type PassageLocal } from "@berth/shared/kit/passage-end.ts";
import { addressFor, type PassageAsk, type Reachable, stillThere } from "./core/judge-passage.ts";

export const MOST_PASSAGES = 64;
const CONNECT_MS = 3000;

export interface HostPassagesGiven {
  readonly jobs: () => readonly Reachable[];
  readonly send: (frame: Omit<PassageFrame, "hostId">) => void;
  readonly clock: Clock;
  readonly log: Log;
}

interface Passage {
  readonly end: PassageEnd;
  readonly jobId: string;
  readonly address: string;
}

export class HostPassages {
  readonly #given: HostPassagesGiven;
  readonly #open = new Map<PassageId, Passage>();
  #opening = 0;

  constructor(given: HostPassagesGiven) {
    this.#given = given;
  }

  /** @returns why not, or null when the connection stands */
  async open(asked: PassageAsk & { readonly passageId: PassageId }): Promise<string | null> {
    const { passageId, jobId, port } = asked;
    if (this.#open.size + this.#opening >= MOST_PASSAGES)
      return `the host carries ${MOST_PASSAGES} connections of \`berth tunnel\`, which is its limit`;
    const found = addressFor(asked, this.#given.jobs());
    if ("reason" in found) return found.reason;
    this.#opening += 1;
    const socket = await connected(found.address, port).finally(() => {
      this.#opening -= 1;
    });
    if (socket === null) return `nothing answers on port ${port} of the instance`;
    const { clock, send, log } = this.#given;
    const end: PassageEnd = new PassageEnd({
      local: asLocal(socket, (why) => {
        this.#open.delete(passageId);
        log.info("passage.ended", {
          passageId,
          jobId,
          why,
          toBytes: end.receivedBytes,
          fromBytes: end.sentBytes,
        });
      }),
      send: (frame) => send({ passageId, ...frame }),
      monotonicMs: clock.monotonicMs,
    });
    this.#open.set(passageId, { end, jobId, address: found.address });
    listen(socket, end);
    log.info("passage.opened", { passageId, jobId, port });
    return null;
  }

  /** A frame of a passage that is not here is of one that ended. */
  take({ passageId, ...frame }: PassageFrame): void {
    this.#open.get(passageId)?.end.take(frame);
  }

  /** Ends the passages of instances that are gone: an address without a container answers nothing, not even an end. */
  look(): void {
    if (this.#open.size === 0) return;
    const jobs = this.#given.jobs();
    for (const { end, jobId, address } of [...this.#open.values()])
      if (!stillThere(jobId, address, jobs)) end.close("instance-gone");
  }

  close(): void {
    for (const { end } of [...this.#open.values()]) end.close("shutting-down");
  }
}

function connected(host: string, port: number): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const give = (outcome: Socket | null) => {
      clearTimeout(timer);
      socket.removeAllListeners();
      if (outcome === null) socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => give(null), CONNECT_MS);
    socket.once("connect", () => {
      socket.pause();
      give(socket);
    });
    socket.once("error", () => give(null));
  });
}

function asLocal(socket: Socket, ended: (why: string) => void): PassageLocal {
  return {
    // What a closed connection does not take is dropped, as TCP does.
    write: (bytes, passedOn) => socket.write(bytes, () => passedOn()),
    end: () => socket.end(),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    closed: (why) => {
      // What is written still leaves; anything else ends at once.
      if (why === "done") socket.end();
      else socket.destroy();
      ended(why);
    },
  };
}

/** An instance that said all it had to and went does not end the passage: what it said may still be under way. */
function listen(socket: Socket, end: PassageEnd): void {
  let saidAll = false;
  const gone = () => {
    if (!saidAll) end.close("instance-closed");
  };
  socket.on("data", (bytes) => end.fromLocal(bytes));
  socket.on("end", () => {
    saidAll = true;
    end.localEnded();
  });
  socket.on("error", gone);
  socket.on("close", gone);
  socket.resume();
}
