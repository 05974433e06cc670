/**
 * What may come out of a container's port of its bridge: frames with the container's own MAC and IPv4 address, and
 * its own ARP. Nothing else, no IPv6 and no other protocol: another container's address, or the gateway's, cannot be
 * taken by whoever gets hold of a raw socket.
 *
 * The engine connects a port a moment before the agent knows it. Until then only the gateways' addresses are held:
 * they are nobody's on any port. The number of rules does not grow: ports are elements of sets.
 */
export const PORTS_TABLE = "berth";

export interface Port {
  /** The host's end of the container's cable. */
  readonly device: string;
  readonly mac: string;
  readonly address: string;
}

/** One transaction: the old table goes and the new one comes. */
export function portRules(ports: readonly Port[], gateways: readonly string[]): string {
  return `table bridge ${PORTS_TABLE} {}
delete table bridge ${PORTS_TABLE}
table bridge ${PORTS_TABLE} {
  set gateways { type ipv4_addr;${elements(gateways)} }
  set guarded { type ifname;${elements(ports.map(guarded))} }
  set bound { type ifname . ether_addr . ipv4_addr;${elements(ports.map(bound))} }
  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    arp saddr ip @gateways counter drop
    ip saddr @gateways counter drop
    iifname != @guarded accept
    ether type arp iifname . ether saddr . arp saddr ip @bound iifname . arp saddr ether . arp saddr ip @bound accept
    ether type ip iifname . ether saddr . ip saddr @bound accept
    counter drop
  }
}
`;
}

/** Puts more ports into a table that stands. */
export function morePorts(ports: readonly Port[]): string {
  const add = (set: string, list: readonly string[]) =>
    `add element bridge ${PORTS_TABLE} ${set} { ${list.join(", ")} }\n`;
  return ports.length === 0 ? "" : add("bound", ports.map(bound)) + add("guarded", ports.map(guarded));
}

function guarded({ device }: Port): string {
  return `"${device}"`;
}

function bound({ device, mac, address }: Port): string {
  return `"${device}" . ${mac} . ${address}`;
}

function elements(list: readonly string[]): string {
  const unique = [...new Set(list)].sort();
  return unique.length === 0 ? "" : ` elements = { ${unique.join(", ")} };`;
}
