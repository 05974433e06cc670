/** The allocator against a list of all that could be given. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Cidr, formatCidr, lowestFree, lowestFreePort, overlaps, parseCidr, sizeOf } from "./cidr.ts";

const pool = parseCidr("10.128.0.0/20") as Cidr;

const network = fc
  .record({ bits: fc.integer({ min: 18, max: 28 }), at: fc.nat({ max: 2 ** 12 - 1 }) })
  .map(({ bits, at }) => {
    const size = sizeOf(bits);
    return { bits, address: Math.floor((pool.address + at) / size) * size };
  });

function everyOf(bits: number): Cidr[] {
  const size = sizeOf(bits);
  return Array.from({ length: sizeOf(pool.bits) / size }, (_, i) => ({
    bits,
    address: pool.address + i * size,
  }));
}

test("what is given is the lowest that overlaps nothing, and null only when there is none", () => {
  fc.assert(
    fc.property(fc.array(network, { maxLength: 40 }), fc.integer({ min: 20, max: 26 }), (used, bits) => {
      const expected = everyOf(bits).find((one) => !used.some((other) => overlaps(one, other))) ?? null;
      expect(lowestFree(pool, bits, used)).toEqual(expected);
    }),
    { numRuns: 500 },
  );
});

test("a network larger than the pool is never given", () => {
  expect(lowestFree(pool, 19, [])).toBeNull();
});

test("text and number are the same network; host bits and nonsense are none", () => {
  fc.assert(
    fc.property(network, (one) => {
      expect(parseCidr(formatCidr(one))).toEqual(one);
    }),
  );
  for (const text of ["10.0.0.1/24", "10.0.0.0/33", "10.0.0.256/32", "fd00::/8", "10.0.0.0/8; drop", ""])
    expect(parseCidr(text)).toBeNull();
});

test("ports: the lowest that nobody has, null when all are taken", () => {
  expect(lowestFreePort(21_000, 3, new Set([21_000, 21_001]))).toBe(21_002);
  expect(lowestFreePort(21_000, 2, new Set([21_000, 21_001]))).toBeNull();
});
