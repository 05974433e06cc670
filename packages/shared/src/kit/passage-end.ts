/**
 * One end of a passage: between a local connection and the frames of the other end.
 *
 * What must stay true: no more than a window of bytes waits here for a slow reader; a frame that is missing ends the
 * passage; an end that hears nothing ends by itself, so none is left behind.
 */
import type { PassageEndReason, PassageFrame } from "../contracts/passage.ts";
import {
  consuming,
  type Flow,
  FRAME_BYTES,
  NEW_FLOW,
  owesWord,
  receiving,
  roomBytes,
  sending,
} from "../domain/passage-flow.ts";

const BEAT_MS = 3000;
const SILENT_AFTER_MS = 15_000;

export interface PassageLocal {
  /** @param passedOn called when the bytes left this process */
  write(bytes: Buffer, passedOn: () => void): void;
  /** Nothing more comes from the other end. */
  end(): void;
  pause(): void;
  resume(): void;
  /** The passage is over; it is called once. */
  closed(why: PassageEndReason): void;
}

export type FrameBody = Omit<PassageFrame, "hostId" | "passageId">;

export interface PassageEndGiven {
  readonly local: PassageLocal;
  readonly send: (frame: FrameBody) => void;
  readonly monotonicMs: () => number;
}

export class PassageEnd {
  readonly #given: PassageEndGiven;
  readonly #beat: NodeJS.Timeout;
  readonly #waiting: Buffer[] = [];
  #flow: Flow = NEW_FLOW;
  #heardAtMs: number;
  #movedAtMs: number;
  #isPaused = false;
  #localEnded = false;
  #endSent = false;
  #endReceived = false;
  #isOver = false;

  constructor(given: PassageEndGiven) {
    this.#given = given;
    this.#heardAtMs = given.monotonicMs();
    this.#movedAtMs = this.#heardAtMs;
    this.#beat = setInterval(() => this.#onBeat(), BEAT_MS).unref();
  }

  get sentBytes(): number {
    return this.#flow.sentBytes;
  }

  get receivedBytes(): number {
    return this.#flow.receivedBytes;
  }

  /** When bytes last came or went. */
  get movedAtMs(): number {
    return this.#movedAtMs;
  }

  /** Bytes of the local connection. What the window has no room for waits here, and the connection is read no more. */
  fromLocal(bytes: Buffer): void {
    if (this.#isOver || bytes.length === 0) return;
    this.#waiting.push(bytes);
    this.#flush();
    if (this.#waiting.length > 0 && !this.#isPaused) {
      this.#isPaused = true;
      this.#given.local.pause();
    }
  }

  localEnded(): void {
    this.#localEnded = true;
    this.#flush();
  }

  /** A frame of the other end. */
  take({ seq, consumedBytes, data, end, closed }: FrameBody): void {
    if (this.#isOver) return;
    this.#heardAtMs = this.#given.monotonicMs();
    if (closed !== undefined) {
      this.#finish(closed);
      return;
    }
    const bytes = data === undefined ? null : Buffer.from(data, "base64");
    const dataBytes = bytes?.length ?? 0;
    const outcome = receiving(this.#flow, { seq, consumedBytes, dataBytes });
    if ("broken" in outcome) {
      this.close(outcome.broken);
      return;
    }
    this.#flow = outcome.flow;
    if (bytes !== null) this.#write(bytes);
    if (end === true && !this.#endReceived) {
      this.#endReceived = true;
      this.#given.local.end();
    }
    this.#flush();
  }

  /** Ends it on both sides. */
  close(why: PassageEndReason): void {
    if (this.#isOver) return;
    this.#send({ closed: why });
    this.#finish(why);
  }

  #write(bytes: Buffer): void {
    this.#movedAtMs = this.#heardAtMs;
    this.#given.local.write(bytes, () => {
      this.#flow = consuming(this.#flow, bytes.length);
      if (owesWord(this.#flow) && !this.#isOver) this.#send({});
    });
  }

  #flush(): void {
    if (this.#isOver) return;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const size = Math.min(next.length, FRAME_BYTES, roomBytes(this.#flow));
      if (size === 0) return;
      if (size === next.length) this.#waiting.shift();
      else this.#waiting[0] = next.subarray(size);
      this.#movedAtMs = this.#given.monotonicMs();
      this.#send({ data: next.subarray(0, size).toString("base64") }, size);
    }
    if (this.#isPaused) {
      this.#isPaused = false;
      this.#given.local.resume();
    }
    if (this.#localEnded && !this.#endSent) {
      this.#endSent = true;
      this.#send({ end: true });
    }
    if (this.#endSent && this.#endReceived) this.#finish("done");
  }

  #send(frame: Pick<FrameBody, "data" | "end" | "closed">, dataBytes = 0): void {
    const { nextOut: seq, consumedBytes } = this.#flow;
    this.#flow = sending(this.#flow, dataBytes);
    this.#given.send({ seq, consumedBytes, ...frame });
  }

  #onBeat(): void {
    if (this.#given.monotonicMs() - this.#heardAtMs > SILENT_AFTER_MS) this.close("silent");
    else this.#send({});
  }

  #finish(why: PassageEndReason): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#beat);
    this.#waiting.length = 0;
    this.#given.local.closed(why);
  }
}
