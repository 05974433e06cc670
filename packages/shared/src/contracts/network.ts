/**
 * Environment networks: who is a member, with which key, slice and name.
 *
 *   agent ─JoinNetwork─▶ network ─NetworkChanged─▶ just the hosts that share the environment
 *   agent ─JoinMesh───▶ network ─MeshChanged────▶ every host: how the edges reach containers on other hosts
 *   agent ─GetNetworks─▶ network, every few seconds: what a lost signal left is healed
 *   agent ─NetworkApplied─▶ network, as soon as a version holds: `NetworkHeld` tells the api when all hosts hold to it
 *   agent ─NetworkReport─▶ network: handshakes, latency and loss, for `berth network show`
 *
 * Private keys never cross a process: an agent makes its own, only public ones are in here.
 */
import { z } from "zod";
import { EgressPolicy, OPEN_EGRESS } from "../domain/egress-policy.ts";
import { EnvironmentId, HostId, UserId } from "../domain/ids.ts";
import { ProcessName } from "../domain/names.ts";
import { defineRequest, defineSignal } from "./event.ts";

/** 32 bytes in base 64; the last character carries 4 bits. */
export const WireguardKey = z
  .string()
  .regex(/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/, "must be a WireGuard public key");

const PortNumber = z.int().min(1).max(65_535);

/** One host in one environment. */
export const NetworkMember = z.strictObject({
  hostId: HostId,
  /** The host's part of the environment's subnet: its bridge and its containers. */
  slice: z.cidrv4(),
  publicKey: WireguardKey,
  /** Where the other members send to. */
  nodeAddress: z.ipv4(),
  port: PortNumber,
});
export type NetworkMember = z.infer<typeof NetworkMember>;

/** A port that an instance listens at, under the name that SRV records have: `_http._tcp.SERVICE.internal`. */
export const NamedPort = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/, "a port name has at most 15 letters, digits and -"),
  port: PortNumber,
});

/** A ready instance: `SERVICE.internal`, `PROCESS.SERVICE.internal`, `SLOT.PROCESS.SERVICE.internal`. */
export const InstanceName = z.strictObject({
  service: z.string().max(63),
  process: ProcessName,
  slot: z.int().min(1),
  address: z.ipv4(),
  ports: z.array(NamedPort).max(8).optional(),
});
export type InstanceName = z.infer<typeof InstanceName>;

/**
 * A service of another environment, opened at one TCP port: both sides agreed. Containers reach it by
 * `SERVICE.ENVIRONMENT.ORG.link.internal`.
 */
export const NetworkLink = z.strictObject({
  /** Whose service it is: a host with a job of the linked environment joins this one's network too. */
  environmentId: EnvironmentId,
  /** `SERVICE.ENVIRONMENT.ORG` */
  name: z.string().regex(/^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){2}$/),
  port: z.int().min(1).max(65_535),
  /** One that is not ready is in no answer, and keeps the connections that it has. */
  instances: z.array(z.strictObject({ address: z.ipv4(), ready: z.boolean() })).max(500),
});
export type NetworkLink = z.infer<typeof NetworkLink>;

/** A person's machine in an environment's network. */
export const PersonPeer = z.strictObject({
  publicKey: WireguardKey,
  /** Of the subnet, and of no host's slice. */
  address: z.ipv4(),
  /** Each host ends it then by its own clock, whether it is told or not. */
  expiresAtMs: z.number(),
});
export type PersonPeer = z.infer<typeof PersonPeer>;

/** An environment's whole network. A higher version replaces a lower one; equal versions are equal networks. */
export const EnvironmentNetwork = z.strictObject({
  environmentId: EnvironmentId,
  version: z.int().min(1),
  subnet: z.cidrv4(),
  /** Grows when every member is to make a new key. */
  keyGeneration: z.int().min(0),
  members: z.array(NetworkMember).max(256),
  names: z.array(InstanceName).max(5000),
  /** What its containers may reach of other environments. */
  links: z.array(NetworkLink).max(200).default([]),
  egress: EgressPolicy.default(OPEN_EGRESS),
  /** The host through which all that leaves the pod leaves it, with that address of the host; null: each host's own. */
  gateway: z.strictObject({ hostId: HostId, address: z.ipv4() }).nullable().default(null),
  people: z.array(PersonPeer).max(64).optional(),
});
export type EnvironmentNetwork = z.infer<typeof EnvironmentNetwork>;

export const MeshHost = z.strictObject({
  hostId: HostId,
  nodeAddress: z.ipv4(),
  /** The host's own subnet; its first address is the host's in the mesh. */
  subnet: z.cidrv4(),
  /** Null until the host's agent made a key. */
  publicKey: WireguardKey.nullable(),
  port: PortNumber,
  /** The host's slices of all environments: what its tunnel carries to the edges. */
  slices: z.array(z.cidrv4()).max(2000),
});
export type MeshHost = z.infer<typeof MeshHost>;

export const Mesh = z.strictObject({
  version: z.int().min(1),
  /** Range of all environments, and range of all hosts' own subnets. */
  podCidr: z.cidrv4(),
  hostCidr: z.cidrv4(),
  hosts: z.array(MeshHost).max(1000),
});
export type Mesh = z.infer<typeof Mesh>;

export const JoinNetwork = defineRequest({
  name: "JoinNetwork",
  subject: "berth.v1.network.{hostId}.join",
  emittedBy: ["agent"],
  consumedBy: ["network"],
  about: "A host joins an environment's network, or tells its new key. Repeating it changes nothing.",
  payload: z.strictObject({
    hostId: HostId,
    environmentId: EnvironmentId,
    publicKey: WireguardKey,
    /** Which generation of keys this one is of. */
    keyGeneration: z.int().min(0).default(0),
    /** UDP ports that somebody else uses on the host. */
    busyPorts: z.array(PortNumber).max(100).default([]),
    /** Of the mesh that the host has; 0, or left out: none. */
    meshVersion: z.int().min(0).default(0),
  }),
  reply: z.discriminatedUnion("answer", [
    /** `mesh` is null for a host that has one: what the join changed of it is told to all hosts a moment later. */
    z.strictObject({ answer: z.literal("joined"), network: EnvironmentNetwork, mesh: Mesh.nullable() }),
    z.strictObject({ answer: z.literal("refused"), reason: z.string().max(500) }),
  ]),
  timeoutMs: 3000,
});

export const LeaveNetwork = defineRequest({
  name: "LeaveNetwork",
  subject: "berth.v1.network.{hostId}.leave",
  emittedBy: ["agent"],
  consumedBy: ["network"],
  about: "A host has nothing of an environment any more: its slice and port go into quarantine.",
  payload: z.strictObject({ hostId: HostId, environmentId: EnvironmentId }),
  reply: z.strictObject({ left: z.boolean() }),
  timeoutMs: 3000,
});

export const JoinMesh = defineRequest({
  name: "JoinMesh",
  subject: "berth.v1.network.{hostId}.join-mesh",
  emittedBy: ["agent"],
  consumedBy: ["network"],
  about: "A host tells the key with which its edge reaches containers on other hosts.",
  payload: z.strictObject({ hostId: HostId, publicKey: WireguardKey, port: PortNumber }),
  reply: z.strictObject({ mesh: Mesh }),
  timeoutMs: 3000,
});

export const GetNetworks = defineRequest({
  name: "GetNetworks",
  subject: "berth.v1.network.{hostId}.get",
  emittedBy: ["agent"],
  consumedBy: ["network"],
  about: "A host asks for what it may have missed of its networks; every few seconds.",
  payload: z.strictObject({
    hostId: HostId,
    known: z.record(z.string(), z.int().min(0)),
    meshVersion: z.int().min(0),
  }),
  reply: z.strictObject({
    /** Every environment of which the host is a member, with its version. */
    versions: z.record(z.string(), z.int().min(1)),
    /** The networks that are newer than `known`, as many as one message carries. */
    networks: z.array(EnvironmentNetwork).max(1000),
    mesh: Mesh.nullable(),
    /** Environments whose gateway the host is: it joins them without a job. */
    gatewayOf: z.array(EnvironmentId).max(2000).default([]),
  }),
  timeoutMs: 3000,
});

export const NetworkChanged = defineSignal({
  name: "NetworkChanged",
  subject: "berth.v1.host.{hostId}.network-changed",
  emittedBy: ["network"],
  consumedBy: ["agent"],
  about: "A new version of an environment's network, to each host that is a member of it.",
  payload: z.strictObject({ hostId: HostId, network: EnvironmentNetwork }),
});

export const MeshChanged = defineSignal({
  name: "MeshChanged",
  subject: "berth.v1.mesh.changed",
  emittedBy: ["network"],
  consumedBy: ["agent"],
  about: "A new version of the hosts' mesh, to every host.",
  payload: z.strictObject({ mesh: Mesh }),
});

export const NetworkApplied = defineSignal({
  name: "NetworkApplied",
  subject: "berth.v1.host.{hostId}.network-applied",
  emittedBy: ["agent"],
  consumedBy: ["network"],
  about:
    "From these versions on, the host's rules, routes and tunnels are as they say; all of them again every 10 s.",
  payload: z.strictObject({
    hostId: HostId,
    versions: z.array(z.strictObject({ environmentId: EnvironmentId, version: z.int().min(1) })).max(2000),
  }),
});

export const NetworkHeld = defineRequest({
  name: "NetworkHeld",
  subject: "berth.v1.network.held.{environmentId}",
  emittedBy: ["api"],
  consumedBy: ["network"],
  about: "Whether every host of an environment holds to what is stored for it now.",
  payload: z.strictObject({ environmentId: EnvironmentId }),
  reply: z.strictObject({ isHeld: z.boolean() }),
  timeoutMs: 3000,
});

/** One tunnel end as its host sees it. */
export const TunnelReport = z.strictObject({
  /** Null: the mesh. */
  environmentId: EnvironmentId.nullable(),
  /** The other end. */
  peer: HostId,
  /**
   * `stalled`: nothing came back for a while; the host heals it. `resting`: nobody on the host uses it, because all of the
   * environment sleeps there; it stands, is not asked, and carries the first packet that comes.
   */
  state: z.enum(["up", "starting", "stalled", "resting"]),
  /** 0: none yet. */
  handshakeAtMs: z.number(),
  rxBytes: z.int().min(0),
  txBytes: z.int().min(0),
  /** Median of the last answered probes, there and back; null when none was answered. */
  latencyMs: z.number().min(0).nullable(),
  /** Of the last probes: how many were sent, and how many of them were not answered. */
  sentCount: z.int().min(0),
  lostCount: z.int().min(0),
  /** How often it was healed since the agent started. */
  healedCount: z.int().min(0),
});
export type TunnelReport = z.infer<typeof TunnelReport>;

export const NetworkReport = defineSignal({
  name: "NetworkReport",
  subject: "berth.v1.host.{hostId}.network-report",
  emittedBy: ["agent"],
  consumedBy: ["network"],
  about: "Every 10 s: what a host sees of its tunnels.",
  payload: z.strictObject({
    hostId: HostId,
    atMs: z.number(),
    /** Who encrypts: the kernel, or a process per tunnel; null before the first tunnel. */
    wireguard: z.enum(["kernel", "userspace"]).nullable(),
    tunnels: z.array(TunnelReport).max(2000),
  }),
});

/** As the network service keeps it. */
export const NamedPersonPeer = PersonPeer.extend({ name: z.string().max(40), userId: UserId });
export type NamedPersonPeer = z.infer<typeof NamedPersonPeer>;

export const ShowNetwork = defineRequest({
  name: "ShowNetwork",
  subject: "berth.v1.network.show.{environmentId}",
  emittedBy: ["api"],
  consumedBy: ["network"],
  about: "An environment's network and what its hosts reported of it.",
  payload: z.strictObject({ environmentId: EnvironmentId }),
  reply: z.strictObject({
    /** Null before the first job of the environment. */
    network: EnvironmentNetwork.nullable(),
    people: z.array(NamedPersonPeer).max(64).optional(),
    reports: z
      .array(
        z.strictObject({
          hostId: HostId,
          atMs: z.number(),
          wireguard: z.enum(["kernel", "userspace"]).nullable(),
          tunnels: z.array(TunnelReport),
        }),
      )
      .max(256),
  }),
  timeoutMs: 3000,
});

export const RotateNetworkKeys = defineRequest({
  name: "RotateNetworkKeys",
  subject: "berth.v1.network.rotate.{environmentId}",
  emittedBy: ["api"],
  consumedBy: ["network"],
  about: "Every host of an environment makes a new key.",
  payload: z.strictObject({ environmentId: EnvironmentId }),
  reply: z.strictObject({ keyGeneration: z.int().min(0).nullable() }),
  timeoutMs: 3000,
});

export const AddPersonPeer = defineRequest({
  name: "AddPersonPeer",
  subject: "berth.v1.network.add-person.{environmentId}",
  emittedBy: ["api"],
  consumedBy: ["network"],
  about: "A person's machine joins an environment's network until `expiresAtMs`.",
  payload: z.strictObject({
    environmentId: EnvironmentId,
    userId: UserId,
    name: z.string().max(40),
    publicKey: WireguardKey,
    expiresAtMs: z.number(),
  }),
  reply: z.discriminatedUnion("answer", [
    z.strictObject({ answer: z.literal("added"), address: z.ipv4() }),
    z.strictObject({
      answer: z.literal("refused"),
      why: z.enum(["no-network", "name-taken", "key-taken", "limit"]),
      reason: z.string().max(500),
    }),
  ]),
  timeoutMs: 3000,
});

export const RemovePersonPeer = defineRequest({
  name: "RemovePersonPeer",
  subject: "berth.v1.network.remove-person.{environmentId}",
  emittedBy: ["api"],
  consumedBy: ["network"],
  about: "A person's machine leaves an environment's network: every host is told at once.",
  payload: z.strictObject({ environmentId: EnvironmentId, name: z.string().max(40) }),
  reply: z.strictObject({ removed: z.boolean() }),
  timeoutMs: 3000,
});
