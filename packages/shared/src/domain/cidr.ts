/** IPv4 networks as numbers: parsing, printing, overlapping, and the lowest free one of a pool. */

export interface Cidr {
  readonly address: number;
  readonly bits: number;
}

/** @returns null when the text is not a network such as `10.128.0.0/10`, host bits included */
export function parseCidr(text: string): Cidr | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return null;
  const octets = match.slice(1, 5).map(Number);
  const bits = Number(match[5]);
  if (octets.some((octet) => octet > 255) || bits > 32) return null;
  const address = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  return address % sizeOf(bits) === 0 ? { address, bits } : null;
}

export function formatCidr({ address, bits }: Cidr): string {
  const octets = [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256);
  return `${octets.join(".")}/${bits}`;
}

/** Number of addresses of a network with that many bits. */
export function sizeOf(bits: number): number {
  return 2 ** (32 - bits);
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  const size = sizeOf(Math.min(a.bits, b.bits));
  return Math.floor(a.address / size) === Math.floor(b.address / size);
}

/**
 * The lowest network of `bits` in `pool` that overlaps none of `used`.
 * @returns null when there is none
 */
export function lowestFree(pool: Cidr, bits: number, used: readonly Cidr[]): Cidr | null {
  const size = sizeOf(bits);
  const end = pool.address + sizeOf(pool.bits);
  const taken = used.toSorted((a, b) => a.address - b.address);
  let address = pool.address;
  for (const other of taken) {
    if (address + size <= other.address) break;
    const after = other.address + sizeOf(other.bits);
    if (after > address) address = Math.ceil(after / size) * size;
  }
  return bits >= pool.bits && address + size <= end ? { address, bits } : null;
}

/** The lowest of `count` ports from `first` on that is in neither list. */
export function lowestFreePort(first: number, count: number, used: ReadonlySet<number>): number | null {
  for (let port = first; port < first + count; port++) if (!used.has(port)) return port;
  return null;
}

/** @returns whether `inner` lies in `outer`, wholly */
export function contains(outer: Cidr, inner: Cidr): boolean {
  return inner.bits >= outer.bits && overlaps(outer, inner);
}

/** The nth address of a network: 1 is the first that a machine may have. */
export function addressOf(cidr: Cidr, nth: number): string {
  return formatCidr({ address: cidr.address + nth, bits: 32 }).slice(0, -3);
}
