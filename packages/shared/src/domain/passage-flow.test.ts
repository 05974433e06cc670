/** Whatever the order of sending and consuming: nothing past the window, nothing stuck, a gap is always seen. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  consuming,
  type Flow,
  NEW_FLOW,
  owesWord,
  receiving,
  roomBytes,
  sending,
  WINDOW_BYTES,
} from "./passage-flow.ts";

interface Frame {
  readonly seq: number;
  readonly consumedBytes: number;
  readonly dataBytes: number;
}

const frameOf = (flow: Flow, dataBytes: number): Frame => ({
  seq: flow.nextOut,
  consumedBytes: flow.consumedBytes,
  dataBytes,
});

function taken(flow: Flow, frame: Frame): Flow {
  const outcome = receiving(flow, frame);
  if ("broken" in outcome) throw new Error(outcome.broken);
  return outcome.flow;
}

test("a sender and a slow reader: never more than a window waits, and everything arrives", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: WINDOW_BYTES / 2 }), { maxLength: 60 }), (steps) => {
      let [here, there] = [NEW_FLOW, NEW_FLOW];
      const wanted = 4 * WINDOW_BYTES;
      const send = (most: number) => {
        const dataBytes = Math.min(most, roomBytes(here), wanted - here.sentBytes);
        if (dataBytes === 0) return;
        const frame = frameOf(here, dataBytes);
        here = sending(here, dataBytes);
        there = taken(there, frame);
      };
      const read = (most: number) => {
        there = consuming(there, Math.min(most, there.receivedBytes - there.consumedBytes));
        if (!owesWord(there)) return;
        const frame = frameOf(there, 0);
        there = sending(there, 0);
        here = taken(here, frame);
      };
      for (const [i, step] of steps.entries()) {
        if (i % 2 === 0) send(step);
        else read(step);
        expect(there.receivedBytes - there.consumedBytes).toBeLessThanOrEqual(WINDOW_BYTES);
        expect(roomBytes(here)).toBeGreaterThanOrEqual(0);
      }
      for (let round = 0; round < 100; round += 1) {
        send(WINDOW_BYTES);
        read(WINDOW_BYTES);
      }
      expect(there.consumedBytes).toBe(wanted);
    }),
  );
});

test("a lost, a repeated and a foreign frame end it", () => {
  const frame = frameOf(NEW_FLOW, 10);
  const flow = taken(NEW_FLOW, frame);
  expect(receiving(flow, frame)).toEqual({ broken: "lost" });
  expect(receiving(flow, { seq: 2, consumedBytes: 0, dataBytes: 1 })).toEqual({ broken: "lost" });
});

test("an end that sends past the window, or took what was never sent, is no partner", () => {
  const over = { seq: 0, consumedBytes: 0, dataBytes: WINDOW_BYTES + 1 };
  expect(receiving(NEW_FLOW, over)).toEqual({ broken: "protocol" });
  expect(receiving(NEW_FLOW, { seq: 0, consumedBytes: 1, dataBytes: 0 })).toEqual({ broken: "protocol" });
});
