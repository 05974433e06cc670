/**
 * What a host holds of its networks: enough to make all of it again from disk alone.
 *
 * `desiredNetwork` turns it into what the kernel and the engine are to have. Pure.
 */
import type { EnvironmentNetwork, Mesh } from "@berth/shared/contracts/network.ts";
import { addressOf, type Cidr, contains, overlaps, parseCidr } from "@berth/shared/domain/cidr.ts";
import type { EgressPolicy } from "@berth/shared/domain/egress-policy.ts";
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";

export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** One environment on this host. `leaving`: nothing of it is to be here, but the network service does not know yet. */
export interface HeldNetwork {
  readonly format: 1;
  readonly environmentId: EnvironmentId;
  readonly keys: KeyPair;
  readonly keyGeneration: number;
  readonly state: "joined" | "leaving";
  readonly network: EnvironmentNetwork;
}

/**
 * Whether a host that is in a network has to join it once more, and with which keys: `again` where the network service
 * does not know it or knows another key, `new-keys` where the environment's keys were rotated and this host has not
 * followed, because another join was under way or the service was away.
 */
export function joinNeed(
  { network, keys, keyGeneration }: HeldNetwork,
  isKnown: boolean,
  hostId: string,
): "none" | "again" | "new-keys" {
  if (network.keyGeneration > keyGeneration) return "new-keys";
  const isOwnKeyKnown = network.members.some(
    (member) => member.hostId === hostId && member.publicKey === keys.publicKey,
  );
  return isKnown && isOwnKeyKnown ? "none" : "again";
}

/** Whose time is over by this host's own clock is not there, whether it was told or not. */
export function withoutExpired(held: HeldNetwork, nowMs: number): HeldNetwork {
  const { people } = held.network;
  if (people === undefined || people.every(({ expiresAtMs }) => expiresAtMs > nowMs)) return held;
  const present = people.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
  return { ...held, network: { ...held.network, people: present } };
}

export interface HeldMesh {
  readonly format: 1;
  readonly keys: KeyPair;
  readonly mesh: Mesh | null;
}

export interface Peer {
  readonly hostId: string;
  readonly publicKey: string;
  readonly nodeAddress: string;
  readonly port: number;
  readonly allowedIps: readonly string[];
  /** The peer's own part of it: its first address answers probes. */
  readonly ownSubnet: string;
}

export interface Tunnel {
  /** Name of the interface. */
  readonly name: string;
  readonly privateKey: string;
  readonly publicKey: string;
  readonly port: number;
  readonly mtu: number;
  /**
   * Address of the interface itself. Of an environment's tunnel it is the bridge's once more: from an interface without
   * any address the kernel takes nothing for itself when it looks for the way back.
   */
  readonly address: string;
  readonly peers: readonly Peer[];
  /** People's machines: they come from wherever they are. */
  readonly people: readonly Person[];
  /** Whether its peers are sent a word where nothing else is; null: as it is, because it is not known yet. */
  readonly keepsAlive: boolean | null;
}

export interface Person {
  readonly publicKey: string;
  readonly address: string;
}

export interface DesiredNetwork {
  readonly environmentId: EnvironmentId;
  readonly bridge: string;
  /** The engine's name of it. */
  readonly engineNetwork: string;
  readonly subnet: string;
  readonly slice: string;
  readonly gateway: string;
  readonly mtu: number;
  /** Name of the tunnel's interface, whether it is needed or not. */
  readonly tunnelName: string;
  /** Null while no other host and no person's machine is a member. */
  readonly tunnel: Tunnel | null;
  readonly egress: EgressPolicy;
  readonly exit: Exit;
}

/**
 * How what leaves the pod leaves this host: with the host's own address; as its gateway, with a fixed one; or through the
 * tunnel to the gateway, by a routing table of its own. Through a gateway that is away nothing leaves.
 */
export type Exit =
  | { readonly kind: "own" }
  | { readonly kind: "gateway"; readonly address: string }
  | { readonly kind: "through"; readonly table: number };

/** What containers of one environment may reach of another one. */
export interface DesiredLink {
  /** Of the environment whose containers use it. */
  readonly bridge: string;
  readonly address: string;
  readonly port: number;
}

/** The address under which this host's linked traffic comes into an environment: its own gateway in it. */
export interface LinkSource {
  readonly subnet: string;
  readonly gateway: string;
}

export interface DesiredHost {
  readonly podCidr: string;
  readonly hostCidr: string;
  readonly networks: readonly DesiredNetwork[];
  readonly links: readonly DesiredLink[];
  readonly linkSources: readonly LinkSource[];
  readonly meshName: string;
  readonly meshAddress: string;
  /** Null while this is the pod's only host. */
  readonly mesh: Tunnel | null;
  /** Mesh addresses of the other hosts: their edges reach our containers. */
  readonly edgeAddresses: readonly string[];
  readonly nodeAddresses: readonly string[];
}

export interface HostIdentity {
  readonly hostId: HostId;
  readonly podId: string;
  readonly nodeAddress: string;
  /** The host's own subnet. */
  readonly subnet: string;
  readonly meshPort: number;
  /** Of every tunnel and every bridge. */
  readonly mtu: number;
}

/** At most 13 characters, of which 10 are random: unique on a machine. */
export function interfaceNames(environmentId: string): {
  bridge: string;
  tunnel: string;
  engineNetwork: string;
} {
  const key = environmentId.slice(-10);
  return { bridge: `bn-${key}`, tunnel: `wb-${key}`, engineNetwork: `berth-${environmentId}` };
}

export function meshNameOf(podId: string): string {
  const letters = podId.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  return `wm-${letters.slice(-10)}`;
}

/** The WireGuard overhead over IPv6, so that a node address of either family will do. */
const OVERHEAD_BYTES = 80;
const ETHERNET_MTU = 1500;

export function tunnelMtu(underlayMtu: number): number {
  return Math.max(1280, Math.min(ETHERNET_MTU, underlayMtu) - OVERHEAD_BYTES);
}

/**
 * @param mesh what was told last; without one nothing is desired
 * @param resting environments whose tunnels nobody here uses; null when it is not known yet
 */
export function desiredHost(
  identity: HostIdentity,
  mesh: HeldMesh,
  held: readonly HeldNetwork[],
  resting: ReadonlySet<string> | null = null,
): DesiredHost | null {
  if (mesh.mesh === null) return null;
  const { podCidr, hostCidr, hosts } = mesh.mesh;
  const others = hosts.filter(({ hostId }) => hostId !== identity.hostId);
  const meshAddress = addressOfSlice(identity.subnet);
  const peers = others.flatMap(({ hostId, publicKey, nodeAddress, port, subnet, slices }) =>
    publicKey === null
      ? []
      : [{ hostId, publicKey, nodeAddress, port, allowedIps: [subnet, ...slices].sort(), ownSubnet: subnet }],
  );
  const joined = held.filter(({ state }) => state === "joined");
  const keepsAlive = (id: string): boolean | null => (resting === null ? null : !resting.has(id));
  const networks = joined.flatMap((one) => remembered(identity, one, keepsAlive(one.environmentId)) ?? []);
  return {
    podCidr,
    hostCidr,
    networks,
    ...desiredLinks(joined, networks),
    meshName: meshNameOf(identity.podId),
    meshAddress,
    mesh:
      peers.length === 0
        ? null
        : {
            name: meshNameOf(identity.podId),
            ...mesh.keys,
            port: identity.meshPort,
            mtu: identity.mtu,
            address: meshAddress,
            peers,
            people: [],
            keepsAlive: true,
          },
    edgeAddresses: others.map(({ subnet }) => addressOfSlice(subnet)).sort(),
    nodeAddresses: [
      ...new Set([identity.nodeAddress, ...hosts.map(({ nodeAddress }) => nodeAddress)]),
    ].sort(),
  };
}

interface Remembered {
  readonly of: string;
  readonly network: DesiredNetwork | null;
}

/** What was held stays the same value until it changes, so on a full host only what changed is made again. */
const made = new WeakMap<HeldNetwork, Remembered>();

function remembered(
  identity: HostIdentity,
  held: HeldNetwork,
  keepsAlive: boolean | null,
): DesiredNetwork | null {
  const of = `${identity.hostId} ${identity.mtu} ${keepsAlive}`;
  const before = made.get(held);
  if (before?.of === of) return before.network;
  const network = desiredNetwork(identity, held, keepsAlive);
  made.set(held, { of, network });
  return network;
}

function desiredNetwork(
  identity: HostIdentity,
  held: HeldNetwork,
  keepsAlive: boolean | null,
): DesiredNetwork | null {
  const { network, environmentId, keys } = held;
  const own = memberOf(network, identity.hostId);
  if (own === undefined) return null;
  const { bridge, tunnel: tunnelName, engineNetwork } = interfaceNames(environmentId);
  const { mtu } = identity;
  const peers = network.members
    .filter(({ hostId }) => hostId !== identity.hostId)
    .map(({ hostId, publicKey, nodeAddress, port, slice }) => ({
      hostId,
      publicKey,
      nodeAddress,
      port,
      allowedIps: hostId === network.gateway?.hostId ? [slice, ANYWHERE] : [slice],
      ownSubnet: slice,
    }));
  const people = (network.people ?? []).map(({ publicKey, address }) => ({ publicKey, address }));
  const tunnel = {
    name: tunnelName,
    ...keys,
    port: own.port,
    mtu,
    address: addressOfSlice(own.slice),
    peers,
    people,
    keepsAlive,
  };
  return {
    ...{ environmentId, bridge, tunnelName, engineNetwork, mtu },
    subnet: network.subnet,
    slice: own.slice,
    gateway: addressOfSlice(own.slice),
    egress: network.egress,
    exit: exitOf(identity, network, own.port),
    tunnel: peers.length + people.length === 0 ? null : tunnel,
  };
}

export function memberOf({ members }: EnvironmentNetwork, hostId: string) {
  return members.find((member) => member.hostId === hostId);
}

const ANYWHERE = "0.0.0.0/0";
const EXIT_TABLES = { first: 10_000, count: 10_000 };

/** The port is the environment's own on this host, and a pod has at most as many ports as there are tables. */
function exitOf({ hostId }: HostIdentity, { gateway }: EnvironmentNetwork, port: number): Exit {
  if (gateway === null) return { kind: "own" };
  if (gateway.hostId === hostId) return { kind: "gateway", address: gateway.address };
  return { kind: "through", table: EXIT_TABLES.first + (port % EXIT_TABLES.count) };
}

/** Number of a routing table of an exit, and of the rule that leads to it. */
export function isExitTable(number: number): boolean {
  return number >= EXIT_TABLES.first && number < EXIT_TABLES.first + EXIT_TABLES.count;
}

/**
 * Links of the environments on this host, as far as the host is in the network of the other side. An address outside of
 * that network is no instance of it.
 */
function desiredLinks(
  joined: readonly HeldNetwork[],
  networks: readonly DesiredNetwork[],
): Pick<DesiredHost, "links" | "linkSources"> {
  const byId = new Map(networks.map((network) => [network.environmentId, network]));
  const sources = new Map<string, LinkSource>();
  const links = joined.flatMap(({ environmentId, network }) =>
    network.links.flatMap(({ environmentId: providerId, port, instances }) => {
      const [consumer, provider] = [byId.get(environmentId), byId.get(providerId)];
      if (consumer === undefined || provider === undefined || consumer === provider) return [];
      sources.set(provider.subnet, { subnet: provider.subnet, gateway: provider.gateway });
      return instances
        .filter(({ address }) => isWithin(provider.subnet, address))
        .map(({ address }) => ({ bridge: consumer.bridge, address, port }));
    }),
  );
  return { links, linkSources: [...sources.values()] };
}

function isWithin(subnet: string, address: string): boolean {
  const [outer, inner] = [parseCidr(subnet), parseCidr(`${address}/32`)];
  return isCidr(outer) && isCidr(inner) && contains(outer, inner);
}

/** The first address of a host's part: the gateway of its containers, or its own in the mesh. */
export function addressOfSlice(cidr: string): string {
  const parsed = parseCidr(cidr);
  if (parsed === null) throw new Error(`not a network: ${cidr}`);
  return addressOf(parsed, 1);
}

/**
 * Why a network that the host is told may not be made here, or null. The allocator has promised all of it; a host
 * that was told otherwise keeps what it has.
 * @param foreign networks of this machine that are not ours
 */
export function orderProblem(
  network: EnvironmentNetwork,
  hostId: string,
  podCidr: string,
  held: readonly HeldNetwork[],
  foreign: readonly string[],
): string | null {
  const own = memberOf(network, hostId);
  if (own === undefined) return null;
  const [pod, subnet, slice] = [podCidr, network.subnet, own.slice].map(parseCidr);
  if (!isCidr(pod) || !isCidr(subnet) || !isCidr(slice)) return "it holds what is no network";
  if (!contains(pod, subnet)) return `its subnet ${network.subnet} is outside of the pod's ${podCidr}`;
  for (const member of network.members) {
    const its = parseCidr(member.slice);
    if (!isCidr(its) || !contains(subnet, its))
      return `the slice ${member.slice} is outside of ${network.subnet}`;
    if (member !== own && overlaps(its, slice))
      return `the slice ${member.slice} of ${member.hostId} is this host's too`;
  }
  for (const { address } of network.people ?? []) {
    const its = parseCidr(`${address}/32`);
    const isHosts = network.members.some((member) => its !== null && overlapsText(its, member.slice));
    if (!isCidr(its) || !contains(subnet, its) || isHosts)
      return `the address ${address} of a person's machine is outside of ${network.subnet}, or a host's`;
  }
  const other = held.find(
    (one) => one.environmentId !== network.environmentId && overlapsText(subnet, one.network.subnet),
  );
  if (other !== undefined)
    return `its subnet ${network.subnet} overlaps ${other.network.subnet} of ${other.environmentId}`;
  const machine = foreign.find((one) => overlapsText(subnet, one));
  return machine === undefined
    ? null
    : `its subnet ${network.subnet} overlaps ${machine}, a network of this machine`;
}

function isCidr(cidr: Cidr | null | undefined): cidr is Cidr {
  return cidr !== null && cidr !== undefined;
}

function overlapsText(a: Cidr, text: string): boolean {
  const b = parseCidr(text);
  return b !== null && b.bits > 0 && overlaps(a, b);
}
