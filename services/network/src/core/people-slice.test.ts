/** The last slice is people's, and addresses in it are given from below. */
import { type Cidr, formatCidr, parseCidr } from "@berth/shared/domain/cidr.ts";
import { expect, test } from "vitest";
import { freeAddress, peopleSlice } from "./people-slice.ts";

const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  if (parsed === null) throw new Error(text);
  return parsed;
};

test.each([
  ["10.128.0.0/19", 24, "10.128.31.0/24"],
  ["10.128.32.0/19", 24, "10.128.63.0/24"],
  ["10.128.0.0/22", 26, "10.128.3.192/26"],
])("of %s in /%d it is %s", (subnet, bits, slice) => {
  expect(formatCidr(peopleSlice(cidr(subnet), bits))).toBe(slice);
});

test("the lowest free address, and none when all are taken", () => {
  const slice = cidr("10.128.31.248/29");
  const taken = new Set<string>();
  for (let found = freeAddress(slice, taken); found !== null; found = freeAddress(slice, taken))
    taken.add(found);
  expect([...taken]).toEqual([2, 3, 4, 5, 6].map((n) => `10.128.31.${248 + n}`));
});
