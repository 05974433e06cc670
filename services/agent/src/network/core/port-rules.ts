/**
 * What may come out of a container's port of its bridge: frames with the container's own MAC and IPv4 address, and
 * its own ARP. Nothing else, no IPv6 and no other protocol: another container's address, or the gateway's, cannot be
 * taken by whoever gets hold of a raw socket.
 *
 * The engine connects a port a moment before the agent knows it. Until then only the gateways' addresses are held:
 * they are nobody's on any port. The number of rules does not grow: ports are elements of sets.
 */
import { type NftTable, nftSet } from "./nft-table.ts";

export const PORTS_TABLE = "berth";

export interface Port {
  /** The host's end of the container's cable. */
  readonly device: string;
  readonly mac: string;
  readonly address: string;
}

export function portTable(ports: readonly Port[], gateways: readonly string[]): NftTable {
  return {
    family: "bridge",
    name: PORTS_TABLE,
    // A port's addresses come before it is guarded: a container is never cut off in between.
    sets: [
      nftSet("gateways", "ipv4_addr", gateways),
      nftSet("bound", "ifname . ether_addr . ipv4_addr", ports.map(bound)),
      nftSet("guarded", "ifname", ports.map(guarded)),
    ],
    chains: `  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    ether type ip iifname . ether saddr . ip saddr @bound accept
    ether type arp iifname . ether saddr . arp saddr ip @bound iifname . arp saddr ether . arp saddr ip @bound accept
    arp saddr ip @gateways counter drop
    ip saddr @gateways counter drop
    iifname != @guarded accept
    counter drop
  }
`,
  };
}

function guarded({ device }: Port): string {
  return `"${device}"`;
}

function bound({ device, mac, address }: Port): string {
  return `"${device}" . ${mac} . ${address}`;
}
