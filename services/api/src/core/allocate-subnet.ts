/** Chooses a host's own subnet out of the pod's range. The table's exclusion constraint has the last word. */
import { type Cidr, lowestFree } from "@berth/shared/domain/cidr.ts";

/** Bits of a host's subnet: 254 addresses. */
export const SLICE_BITS = 24;

/**
 * The lowest free slice of `pool`. The first slice is left out: its addresses are easily taken for the pool's own.
 * @param used subnets of the hosts that are there
 * @returns null when the pool is used up
 */
export function nextSlice(pool: Cidr, used: readonly Cidr[]): Cidr | null {
  return lowestFree(pool, SLICE_BITS, [{ address: pool.address, bits: SLICE_BITS }, ...used]);
}
