/** Two ends of a passage, in one process: whole, bounded, and over when a frame is missing. */
import { expect, test, vi } from "vitest";
import type { PassageEndReason } from "../contracts/passage.ts";
import { WINDOW_BYTES } from "../domain/passage-flow.ts";
import { type FrameBody, PassageEnd } from "./passage-end.ts";

class Local {
  readonly got: Buffer[] = [];
  readonly unread: (() => void)[] = [];
  isReading = true;
  isPaused = false;
  sawEnd = false;
  why: PassageEndReason | null = null;

  write = (bytes: Buffer, passedOn: () => void): void => {
    this.got.push(bytes);
    if (this.isReading) passedOn();
    else this.unread.push(passedOn);
  };
  end = (): void => {
    this.sawEnd = true;
  };
  pause = (): void => {
    this.isPaused = true;
  };
  resume = (): void => {
    this.isPaused = false;
  };
  closed = (why: PassageEndReason): void => {
    this.why = why;
  };
  get bytes(): Buffer {
    return Buffer.concat(this.got);
  }
}

function pair(drop: (frame: FrameBody) => boolean = () => false) {
  const [left, right] = [new Local(), new Local()];
  let nowMs = 0;
  const monotonicMs = () => nowMs;
  const queue: (() => void)[] = [];
  const carry = (to: () => PassageEnd) => (frame: FrameBody) => {
    if (!drop(frame)) queue.push(() => to().take(frame));
  };
  const a: PassageEnd = new PassageEnd({ local: left, send: carry(() => b), monotonicMs });
  const b: PassageEnd = new PassageEnd({ local: right, send: carry(() => a), monotonicMs });
  const settle = () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) next();
  };
  return {
    a,
    b,
    left,
    right,
    settle,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

test("both ways, and done when both said all", () => {
  const { a, b, left, right, settle } = pair();
  a.fromLocal(Buffer.from("to"));
  b.fromLocal(Buffer.from("from"));
  a.localEnded();
  settle();
  expect([right.bytes.toString(), left.bytes.toString(), right.sawEnd, left.sawEnd]).toEqual([
    "to",
    "from",
    true,
    false,
  ]);
  b.localEnded();
  settle();
  expect([left.why, right.why, a.sentBytes, a.receivedBytes]).toEqual(["done", "done", 2, 4]);
});

test("a reader that reads nothing holds the writer up after a window, and gets every byte later", () => {
  const { a, b, left, right, settle } = pair();
  const wanted = Buffer.alloc(4 * WINDOW_BYTES, "0123456789");
  right.isReading = false;
  let at = 0;
  const write = () => {
    while (!left.isPaused && at < wanted.length) {
      a.fromLocal(wanted.subarray(at, at + 65_536));
      at += 65_536;
      settle();
    }
  };
  write();
  expect(left.isPaused).toBe(true);
  expect(right.bytes.length).toBe(WINDOW_BYTES);
  expect(at).toBeLessThanOrEqual(WINDOW_BYTES + 65_536);
  for (let round = 0; round < 200 && right.bytes.length < wanted.length; round += 1) {
    right.unread.shift()?.();
    settle();
    write();
  }
  expect(right.bytes.equals(wanted)).toBe(true);
  expect(b.receivedBytes).toBe(wanted.length);
});

test("a lost frame ends it on both sides", () => {
  const { a, left, right, settle } = pair(({ seq, data }) => data !== undefined && seq === 1);
  for (const word of ["one", "two", "three"]) a.fromLocal(Buffer.from(word));
  settle();
  expect([right.bytes.toString(), right.why, left.why]).toEqual(["one", "lost", "lost"]);
});

test("an end that hears nothing ends by itself; one that hears beats does not", () => {
  vi.useFakeTimers();
  try {
    const well = pair();
    for (let i = 0; i < 10; i += 1) {
      well.pass(3000);
      vi.advanceTimersByTime(3000);
      well.settle();
    }
    expect([well.left.why, well.right.why]).toEqual([null, null]);
    const cut = pair(() => true);
    for (let i = 0; i < 6; i += 1) {
      cut.pass(3000);
      vi.advanceTimersByTime(3000);
    }
    expect([cut.left.why, cut.right.why]).toEqual(["silent", "silent"]);
  } finally {
    vi.useRealTimers();
  }
});
