/** The part of an environment's subnet that no host gets: its last slice is for people's machines. Pure. */
import { addressOf, type Cidr, parseCidr } from "@berth/shared/domain/cidr.ts";

/** @param sliceBits longer than the subnet's own */
export function peopleSlice(subnet: Cidr, sliceBits: number): Cidr {
  const last = addressOf(subnet, 2 ** (32 - subnet.bits) - 2 ** (32 - sliceBits));
  const slice = parseCidr(`${last}/${sliceBits}`);
  if (slice === null) throw new Error(`a slice of /${sliceBits} in a subnet of /${subnet.bits}`);
  return slice;
}

/** @returns the lowest address that nobody has, past the one that a host would have; null when all are taken */
export function freeAddress(slice: Cidr, taken: ReadonlySet<string>): string | null {
  for (let nth = 2; nth < 2 ** (32 - slice.bits) - 1; nth += 1) {
    const address = addressOf(slice, nth);
    if (!taken.has(address)) return address;
  }
  return null;
}
