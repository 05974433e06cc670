import { type Cidr, formatCidr, parseCidr } from "@berth/shared/domain/cidr.ts";
import { expect, test } from "vitest";
import { nextSlice } from "./allocate-subnet.ts";

const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  if (parsed === null) throw new Error(text);
  return parsed;
};

test.each(["10.210.0.0/16", "192.168.4.0/24", "0.0.0.0/0", "255.255.255.255/32"])(
  "%s reads and prints the same",
  (text) => {
    expect(formatCidr(cidr(text))).toBe(text);
  },
);

test.each(["10.0.0.0", "10.0.0.1/24", "300.0.0.0/8", "10.0.0.0/33", "x"])("%s is no network", (text) => {
  expect(parseCidr(text)).toBeNull();
});

test("the lowest free slice, holes first", () => {
  const pool = cidr("10.210.0.0/16");
  const next = (...used: string[]) => nextSlice(pool, used.map(cidr));
  expect(next()).toEqual(cidr("10.210.1.0/24"));
  expect(next("10.210.1.0/24", "10.210.3.0/24")).toEqual(cidr("10.210.2.0/24"));
  expect(next("10.210.0.0/22")).toEqual(cidr("10.210.4.0/24"));
});

test("a pool that is used up answers null", () => {
  expect(nextSlice(cidr("10.0.0.0/23"), [cidr("10.0.1.0/24")])).toBeNull();
  expect(nextSlice(cidr("10.0.0.0/24"), [])).toBeNull();
});
