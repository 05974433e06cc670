import { readFileSync } from "node:fs";
import { MIB } from "@berth/shared/domain/resources.ts";
import { expect, test } from "vitest";
import { type Carrying, firstSeen, isLittle, judgeCarrying, parseCarried, parseTotal } from "./carrying.ts";

/** What it is said to carry after each second, given what it carried in it. */
function over(mibPerSecond: readonly number[], from: Carrying = firstSeen(0, 0, false)): boolean[] {
  let carrying = from;
  return mibPerSecond.map((mib) => {
    carrying = judgeCarrying(carrying, carrying.bytes + mib * MIB, carrying.atMs + 1000);
    return carrying.isMuch;
  });
}

test("a second of much is much, and stays so until it was little for five seconds", () => {
  expect(over([0, 15, 16])).toEqual([false, false, true]);
  expect(over([100, 3, 3, 3, 3, 3, 0])).toEqual([true, true, true, true, true, false, false]);
});

test("between much and little nothing changes", () => {
  expect(over([100, 3, 3, 3, 3, 5, 3, 3, 3, 3, 3])).toEqual([
    ...[true, true, true, true, true, true],
    ...[true, true, true, true, false],
  ]);
  expect(over([5, 10, 15])).toEqual([false, false, false]);
});

test("a burst of some milliseconds says nothing, and it counts in the next look", () => {
  const burst = judgeCarrying(firstSeen(0, 1000, false), 10 * MIB, 1010);
  expect(burst).toEqual(firstSeen(0, 1000, false));
  expect(judgeCarrying(burst, 20 * MIB, 2000).isMuch).toBe(true);
});

test("fewer bytes than before are of a new process, which nobody told anything", () => {
  expect(judgeCarrying(firstSeen(900 * MIB, 0, true), 100 * MIB, 1000)).toEqual(
    firstSeen(100 * MIB, 1000, false),
  );
});

test("received and sent bytes are read off the kernel's list", () => {
  const head = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`;
  const lines = `    lo: 1200      10    0    0    0     0          0         0     1200      10    0    0    0     0       0          0
wb-abcdefghij:7000000 5 0 0 0 0 0 0 2000000 5 0 0 0 0 0 0
damaged: 1 2 3
`;
  expect(parseCarried(head + lines)).toEqual(
    new Map([
      ["lo", 2400],
      ["wb-abcdefghij", 9_000_000],
    ]),
  );
});

test("the host's total is read off the kernel's text, and what it does not say is not little", () => {
  const text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 5 70 30\n";
  expect(parseTotal(text)).toBe(100);
  expect(parseTotal("TcpExt: A\nTcpExt: 1\n")).toBeNull();
  expect(parseTotal(readFileSync("/proc/net/netstat", "utf8"))).toBeGreaterThanOrEqual(0);
  expect(isLittle({ atMs: 0, bytes: 0 }, { atMs: 1000, bytes: 15 * MIB })).toBe(true);
  expect(isLittle({ atMs: 0, bytes: 0 }, { atMs: 1000, bytes: 16 * MIB })).toBe(false);
  expect(isLittle({ atMs: 0, bytes: 9 }, { atMs: 1000, bytes: 8 })).toBe(false);
});
