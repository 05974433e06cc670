/**
 * The host's packet rules for job containers, as text for nft and iptables.
 *
 * Containers reach the internet, and nothing of the platform: not the host, not other hosts, not other containers,
 * not the metadata address, not SMTP. Into the bridge come only the edges: this host's own and those of the peers.
 */

export interface NetworkView {
  /** Name of the bridge, and of the nftables table's interface rules. */
  readonly bridge: string;
  readonly table: string;
  readonly subnet: string;
  /** Addresses of all hosts, this one included. */
  readonly nodeAddresses: readonly string[];
  /** Container subnets of all hosts, this one included. */
  readonly subnets: readonly string[];
  /** Addresses of the other hosts: their edges reach our containers. */
  readonly peerAddresses: readonly string[];
}

/** One transaction: the old table goes and the new one comes, with no moment between. */
export function nftRules(view: NetworkView): string {
  const { bridge, table } = view;
  return `table inet ${table} {}
delete table inet ${table}
table inet ${table} {
  set nodes { type ipv4_addr; ${elements(view.nodeAddresses)} }
  set peers { type ipv4_addr; ${elements(view.peerAddresses)} }
  set subnets { type ipv4_addr; flags interval; ${elements(view.subnets)} }
  chain input {
    type filter hook input priority -10; policy accept;
    iifname "${bridge}" jump from_container_to_host
  }
  chain from_container_to_host {
    ct state established,related accept
    counter drop
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    iifname "${bridge}" jump from_container
    oifname "${bridge}" jump to_container
  }
  chain from_container {
    meta nfproto ipv6 counter drop
    ip saddr != ${view.subnet} counter drop
    ct state established,related accept
    ip daddr 169.254.0.0/16 counter drop
    ip daddr @nodes counter drop
    ip daddr @subnets counter drop
    tcp dport 25 counter drop
  }
  chain to_container {
    ct state established,related accept
    ip saddr @peers accept
    counter drop
  }
}
`;
}

function elements(values: readonly string[]): string {
  return values.length === 0 ? "" : `elements = { ${[...new Set(values)].sort().join(", ")} };`;
}

/**
 * The engine's own FORWARD policy is DROP, and an accept in our table does not end the walk through its rules: the
 * peers' edges need an accept there too.
 */
export function iptablesRules(view: NetworkView, chain: string): string {
  const accepts = view.peerAddresses.map((peer) => `-A ${chain} -s ${peer}/32 -o ${view.bridge} -j ACCEPT`);
  return ["*filter", `:${chain} - [0:0]`, ...accepts, "COMMIT", ""].join("\n");
}

export interface Peer {
  readonly hostId: string;
  readonly nodeAddress: string;
  readonly subnet: string;
}

const IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;
const SUBNET = /^(\d{1,3}\.){3}\d{1,3}\/(\d{1,2})$/;

/** What is not an address would be a command in these texts: such a peer is left out. */
export function isSoundPeer(peer: Peer): boolean {
  const octets = IPV4.exec(peer.nodeAddress)?.slice(1).map(Number) ?? [];
  const bits = Number(SUBNET.exec(peer.subnet)?.[2] ?? 0);
  return octets.length === 4 && octets.every((octet) => octet <= 255) && bits >= 8 && bits <= 30;
}
