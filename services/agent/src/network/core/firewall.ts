/**
 * The host's packet rules, as text for nft and iptables.
 *
 * Default deny: a container reaches its own environment and, as its egress policy says, the internet, and nothing else:
 * not the host, not other hosts, not other environments, not private ranges, not the metadata address, not SMTP. Into a bridge come its own
 * environment's tunnel and the edges of the pod's hosts, through the mesh. From one environment to another goes what a
 * link allows, an instance's address at one port, looked up for every packet: a link that is gone ends what was open.
 *
 * Two barriers, each closed by itself. Our nftables table marks what it allows, and drops the rest. The engine's
 * iptables let through only what carries the mark, and routing (core/routing.ts) has no way for a container without
 * the mark of a sound source: when somebody flushes the table, nothing is marked any more, and nothing passes.
 *
 * The number of rules does not grow: environments and hosts are elements of sets. What most packets meet comes first, and
 * looks least up: those of an open connection inside an environment are looked up in one set of ranges.
 */
import { addressOf } from "@berth/shared/domain/cidr.ts";
import { egressSpans } from "@berth/shared/domain/egress-policy.ts";
import type { DesiredHost } from "./network-state.ts";
import { type NftSet, type NftTable, nftMap, nftSet } from "./nft-table.ts";

export const TABLE = "berth";
export const CHAIN = "BERTH";
export const CHAIN_IN = "BERTH-IN";
/** Set in prerouting: the source address may come from this interface. Routing finds no container without it. */
export const SOUND_MARK = "0x01000000";
/** Set in input and forward: allowed. */
export const ALLOWED_MARK = "0x02000000";
/** Set in forward: it goes to another environment by a link, and gets this host's address in there. */
export const LINK_MARK = "0x04000000";
export const BRIDGES = "bn-+";
export const TUNNELS = "wb-+";
export const MESHES = "wm-+";
/** UDP: the probes through the tunnels. */
export const PROBE_PORT = 7427;

/** Not the internet: private, shared, link-local, documentation, multicast, reserved. */
const CLOSED = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
];

export interface FirewallView extends DesiredHost {
  /** Private ranges that containers may reach all the same, such as that of a package mirror. */
  readonly allowedPrivate: readonly string[];
  /** Networks to which containers may connect at port 25. */
  readonly mailRelays: readonly string[];
  /**
   * Addresses of environments' proxies on this host. Edges alone connect to them, and they connect to their environment's
   * containers alone.
   */
  readonly proxies: readonly string[];
}

export function firewallTable(view: FirewallView): NftTable {
  return { family: "inet", name: TABLE, sets: sets(view), chains: chains(view) };
}

function chains(view: FirewallView): string {
  return `  chain prerouting {
    type filter hook prerouting priority -310; policy accept;
    iifname != @ours accept
    meta nfproto ipv6 counter drop
    iifname "${view.meshName}" accept
    iifname . ip saddr @own meta mark set meta mark | ${SOUND_MARK} accept
    iifname @exit_tunnels ip saddr != @closed meta mark set meta mark | ${SOUND_MARK} accept
    iifname @exit_tunnels ip saddr @allowed_private meta mark set meta mark | ${SOUND_MARK} accept
    iifname @bridges counter drop
    iifname @tunnels counter drop
  }
  chain inbound {
    type filter hook prerouting priority -90; policy accept;
    ip daddr ${view.podCidr} iifname != @bridges meta mark set meta mark | ${SOUND_MARK}
  }
  chain allow {
    meta mark set meta mark | ${ALLOWED_MARK} accept
  }
  chain input {
    type filter hook input priority -10; policy accept;
    iifname != @ours accept
    iifname @bridges jump container_to_host
    iifname @tunnels jump tunnel_to_host
    iifname "${view.meshName}" jump mesh_to_host
  }
  chain container_to_host {
    ct state established,related goto allow
    ip saddr @proxies counter drop
    iifname . ip daddr @gateways udp dport 53 goto allow
    iifname . ip daddr @gateways tcp dport 53 goto allow
    counter drop
  }
  chain tunnel_to_host {
    iifname . ip daddr @gateways udp dport 53 goto allow
    iifname . ip daddr @gateways tcp dport 53 goto allow
    iifname . ip daddr @gateways udp dport ${PROBE_PORT} goto allow
    ct state established,related goto allow
    counter drop
  }
  chain mesh_to_host {
    ct state established,related goto allow
    udp dport ${PROBE_PORT} ip daddr ${view.meshAddress} goto allow
    counter drop
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    iifname "${view.meshName}" oifname @bridges ip saddr @edges goto allow
    oifname "${view.meshName}" iifname @bridges ct direction reply ct state established,related goto allow
    iifname . oifname @closed_pairs ct state established ip daddr != @proxies goto allow
    iifname . oifname @pairs jump inside
    ct direction reply oifname . ip saddr . tcp sport @links goto allow
    iifname . oifname @exits goto from_container
    iifname @bridges oifname @ours goto across
    iifname @bridges jump from_container
    iifname @entries jump from_member
    iifname @ours counter drop
    oifname @entries ct direction reply ct state established,related goto allow
    oifname @bridges ct direction reply jump to_container
    oifname @bridges ct state related goto allow
    oifname @ours counter drop
  }
  chain inside {
    iifname . ip saddr != @own ct direction original counter drop
    ip daddr @people ct state new counter drop
    ip daddr @proxies ct direction original counter drop
    iifname . ip daddr @reach goto allow
  }
  chain across {
    ip saddr @proxies ct direction original counter drop
    iifname . ip daddr . tcp dport @links meta mark set meta mark | ${LINK_MARK} goto allow
    counter drop
  }
  chain closed_to_all {
    ip daddr @nodes counter drop
    ip daddr @closed ip daddr != @allowed_private counter drop
    tcp dport 25 ip daddr != @mail_relays counter drop
  }
  chain from_member {
    oifname @ours counter drop
    ip saddr @people counter drop
    jump closed_to_all
    goto allow
  }
  chain from_container {
    ip saddr @proxies counter drop
    iifname @elsewhere iifname . oifname != @exits counter drop
    jump closed_to_all
    iifname @open goto allow
    iifname . ip daddr @outside goto allow
    iifname . ip daddr . meta l4proto . th dport @outside_ports goto allow
    counter drop
  }
  chain to_container {
    oifname @open goto allow
    oifname . ip saddr @outside goto allow
    oifname . ip saddr . meta l4proto . th sport @outside_ports goto allow
  }
  chain source_nat {
    type nat hook postrouting priority 90; policy accept;
    meta mark & ${LINK_MARK} != 0 snat ip to ip daddr map @link_sources
    oifname @tunnels accept
    snat ip to ip saddr map @exit_addresses
    ip saddr ${view.podCidr} ip daddr != @pod masquerade
  }
`;
}

function sets(view: FirewallView): NftSet[] {
  const { networks, meshName, podCidr, hostCidr } = view;
  const bridges = networks.map(({ bridge }) => bridge);
  const tunnels = networks.map(({ tunnelName }) => tunnelName);
  return [
    nftSet("bridges", "ifname", names(bridges)),
    nftSet("tunnels", "ifname", names(tunnels)),
    nftSet("ours", "ifname", names([...bridges, ...tunnels, meshName])),
    // Who may speak from where.
    nftSet("own", "ifname . ipv4_addr; flags interval", [
      ...networks.map(({ bridge, slice }) => `"${bridge}" . ${slice}`),
      ...networks.map(({ tunnelName, subnet }) => `"${tunnelName}" . ${subnet}`),
    ]),
    // The inside of an environment: bridge to bridge, bridge to tunnel and back.
    nftSet("pairs", "ifname . ifname", pairsOf(networks)),
    // Both ends are inside, whatever the packet says: routing and the check of the source see to it. Not so where packets
    // from elsewhere leave through the tunnel: their way out is looked up for each.
    nftSet(
      "closed_pairs",
      "ifname . ifname",
      pairsOf(networks.filter(({ exit }) => exit.kind !== "through")),
    ),
    nftSet("reach", "ifname . ipv4_addr; flags interval", [
      ...networks.map(({ bridge, subnet }) => `"${bridge}" . ${subnet}`),
      ...networks.map(({ tunnelName, slice }) => `"${tunnelName}" . ${slice}`),
    ]),
    nftSet(
      "gateways",
      "ifname . ipv4_addr",
      networks.flatMap(({ bridge, tunnelName, gateway }) => [
        `"${bridge}" . ${gateway}`,
        `"${tunnelName}" . ${gateway}`,
      ]),
    ),
    // A person's machine asks and answers nobody.
    nftSet(
      "people",
      "ipv4_addr",
      networks.flatMap(({ tunnel }) => (tunnel?.people ?? []).map(({ address }) => address)),
    ),
    nftSet(
      "links",
      "ifname . ipv4_addr . inet_service",
      view.links.map(({ bridge, address, port }) => `"${bridge}" . ${address} . ${port}`),
    ),
    nftMap(
      "link_sources",
      "ipv4_addr : ipv4_addr; flags interval",
      view.linkSources.map(({ subnet, gateway }) => `${subnet} : ${gateway}`),
    ),
    ...egressSets(networks),
    ...exitSets(networks),
    nftSet("proxies", "ipv4_addr", view.proxies),
    nftSet("mail_relays", "ipv4_addr; flags interval; auto-merge", view.mailRelays),
    nftSet("edges", "ipv4_addr", view.edgeAddresses),
    nftSet("nodes", "ipv4_addr", view.nodeAddresses),
    nftSet("pod", "ipv4_addr; flags interval; auto-merge", [podCidr, hostCidr]),
    nftSet("closed", "ipv4_addr; flags interval; auto-merge", [...CLOSED, podCidr, hostCidr]),
    nftSet("allowed_private", "ipv4_addr; flags interval; auto-merge", view.allowedPrivate),
  ];
}

function pairsOf(networks: FirewallView["networks"]): string[] {
  return networks.flatMap(({ bridge, tunnelName }) => [
    `"${bridge}" . "${bridge}"`,
    `"${bridge}" . "${tunnelName}"`,
    `"${tunnelName}" . "${bridge}"`,
  ]);
}

/** Each bridge's way out: all of it, or the spans of its rules, of which no two may overlap. */
function egressSets(networks: FirewallView["networks"]): NftSet[] {
  const spans = networks.flatMap(({ bridge, egress }) =>
    egress.mode === "list" ? egressSpans(egress.rules).map((span) => ({ ...span, bridge })) : [],
  );
  const addresses = ({ bridge, first, last }: (typeof spans)[number]) =>
    `"${bridge}" . ${addressText(first)}-${addressText(last)}`;
  return [
    nftSet(
      "open",
      "ifname",
      names(networks.flatMap(({ bridge, egress }) => (egress.mode === "open" ? bridge : []))),
    ),
    nftSet(
      "outside",
      "ifname . ipv4_addr; flags interval",
      spans.flatMap((span) => (span.ports === null ? addresses(span) : [])),
    ),
    nftSet(
      "outside_ports",
      "ifname . ipv4_addr . inet_proto . inet_service; flags interval",
      spans.flatMap((span) => {
        const { ports } = span;
        return ports === null ? [] : `${addresses(span)} . ${ports.protocol} . ${ports.first}-${ports.last}`;
      }),
    ),
  ];
}

/** What leaves through a gateway: on the other hosts only by the tunnel to it, on the gateway only with its address. */
function exitSets(networks: FirewallView["networks"]): NftSet[] {
  const through = networks.filter(({ exit }) => exit.kind === "through");
  const gateways = networks.flatMap(({ exit, ...network }) =>
    exit.kind === "gateway" ? [{ ...network, address: exit.address }] : [],
  );
  return [
    nftSet("elsewhere", "ifname", names(through.map(({ bridge }) => bridge))),
    nftSet(
      "exits",
      "ifname . ifname",
      through.map(({ bridge, tunnelName }) => `"${bridge}" . "${tunnelName}"`),
    ),
    nftSet("exit_tunnels", "ifname", names(through.map(({ tunnelName }) => tunnelName))),
    nftSet("entries", "ifname", names(gateways.map(({ tunnelName }) => tunnelName))),
    nftMap(
      "exit_addresses",
      "ipv4_addr : ipv4_addr; flags interval",
      gateways.map(({ subnet, address }) => `${subnet} : ${address}`),
    ),
  ];
}

function addressText(address: number): string {
  return addressOf({ address, bits: 32 }, 0);
}

function names(values: readonly string[]): string[] {
  return values.map((value) => `"${value}"`);
}

/** The engine's own FORWARD policy is DROP, and an accept in our table does not end the walk through its rules. */
export function iptablesRules(): string {
  const mark = `--mark ${ALLOWED_MARK}/${ALLOWED_MARK}`;
  const ours = [BRIDGES, TUNNELS, MESHES];
  return [
    "*filter",
    `:${CHAIN} - [0:0]`,
    `:${CHAIN_IN} - [0:0]`,
    `-A ${CHAIN} -m mark ${mark} -j ACCEPT`,
    ...ours.flatMap((name) => [`-A ${CHAIN} -i ${name} -j DROP`, `-A ${CHAIN} -o ${name} -j DROP`]),
    ...ours.map((name) => `-A ${CHAIN_IN} -i ${name} -m mark ! ${mark} -j DROP`),
    "COMMIT",
    "",
  ].join("\n");
}

/**
 * Whether iptables still is as it was made. The engine puts rules of each new network first, but keeps its `DOCKER-USER`
 * before them: where there is that chain, our jump is in it.
 * @param saved what `iptables-save -t filter` prints
 * @returns the jumps that are missing or come after the engine's own rules, and whether our chains are not whole
 */
export function iptablesProblems(saved: string): {
  readonly chains: boolean;
  readonly jumps: readonly Jump[];
} {
  const lines = saved.split("\n");
  const rulesOf = (chain: string) => lines.filter((line) => line.startsWith(`-A ${chain} `));
  const wanted = iptablesRules().split("\n");
  const wantedCount = (chain: string) => wanted.filter((line) => line.startsWith(`-A ${chain} `)).length;
  const users: Jump = { parent: USERS_CHAIN, chain: CHAIN };
  const hasUsers = lines.some((line) => line.startsWith(`:${USERS_CHAIN} `));
  const isFirst = ({ parent, chain }: Jump) => {
    const rules = rulesOf(parent);
    const own = rules.indexOf(`-A ${parent} -j ${chain}`);
    const engines = rules.findIndex(
      (line) => / -j DOCKER/.test(line) || / (-i|-o) (bn-|br-|docker)/.test(line),
    );
    if (engines !== -1 && rules[engines] === `-A ${parent} -j ${USERS_CHAIN}`) return true;
    return own !== -1 && (engines === -1 || own < engines);
  };
  const isFirstOfUsers = rulesOf(USERS_CHAIN)[0] === `-A ${USERS_CHAIN} -j ${CHAIN}`;
  return {
    chains: [CHAIN, CHAIN_IN].some((chain) => rulesOf(chain).length !== wantedCount(chain)),
    jumps: [...(hasUsers && !isFirstOfUsers ? [users] : []), ...JUMPS.filter((jump) => !isFirst(jump))],
  };
}

export interface Jump {
  readonly parent: string;
  readonly chain: string;
}

/** The engine's chain for others' rules, which it keeps first in FORWARD. */
const USERS_CHAIN = "DOCKER-USER";

export const JUMPS: readonly Jump[] = [
  { parent: "FORWARD", chain: CHAIN },
  { parent: "INPUT", chain: CHAIN_IN },
];
