/** Chooses a host's container subnet out of the pod's range. The table's exclusion constraint has the last word. */

export interface Cidr {
  readonly address: number;
  readonly bits: number;
}

/** Bits of a host's slice: 254 container addresses. */
export const SLICE_BITS = 24;

/** @returns null when the text is not an IPv4 network such as `10.210.0.0/16` */
export function parseCidr(text: string): Cidr | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return null;
  const octets = match.slice(1, 5).map(Number);
  const bits = Number(match[5]);
  if (octets.some((octet) => octet > 255) || bits > 32) return null;
  const address = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  return address % 2 ** (32 - bits) === 0 ? { address, bits } : null;
}

export function formatCidr({ address, bits }: Cidr): string {
  const octets = [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256);
  return `${octets.join(".")}/${bits}`;
}

/**
 * The lowest free slice of `pool`. The first slice is left out: its addresses are easily taken for the pool's own.
 * @param used subnets of the hosts that are there
 * @returns null when the pool is used up
 */
export function nextSlice(pool: Cidr, used: readonly Cidr[]): Cidr | null {
  const size = 2 ** (32 - SLICE_BITS);
  const count = 2 ** Math.max(0, SLICE_BITS - pool.bits);
  for (let index = 1; index < count; index++) {
    const slice = { address: pool.address + index * size, bits: SLICE_BITS };
    if (!used.some((other) => overlaps(slice, other))) return slice;
  }
  return null;
}

function overlaps(a: Cidr, b: Cidr): boolean {
  const size = 2 ** (32 - Math.min(a.bits, b.bits));
  return Math.floor(a.address / size) === Math.floor(b.address / size);
}
