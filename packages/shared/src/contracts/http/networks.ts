/** Environment networks, as their members may see them. */
import { z } from "zod";
import { HostId } from "../../domain/ids.ts";
import { EnvironmentName, HostName, OrgName, PeerName } from "../../domain/names.ts";
import { TunnelReport, WireguardKey } from "../network.ts";
import { ENVIRONMENT } from "./paths.ts";
import { route } from "./route.ts";

const EnvironmentPath = z.strictObject({ org: OrgName, environment: EnvironmentName });

/** True: every host of the environment said that it holds to it. False: not within some seconds; it follows by itself. */
export const IsHeld = z.boolean().optional();

export const NetworkHost = z.strictObject({
  hostId: HostId,
  name: HostName,
  slice: z.string(),
  publicKey: z.string(),
  wireguard: z.enum(["kernel", "userspace"]).nullable(),
  /** Null: the host has said nothing of it yet. */
  reportedAt: z.string().nullable(),
  tunnels: z.array(TunnelReport.omit({ environmentId: true, peer: true }).extend({ to: HostName })),
});

export const showNetwork = route({
  method: "GET",
  path: "/v1/orgs/:org/environments/:environment/network",
  role: "member",
  summary: "An environment's network: hosts, tunnels, latency and loss",
  params: EnvironmentPath,
  reply: z.strictObject({
    /** Null before the first job of the environment. */
    subnet: z.string().nullable(),
    keyGeneration: z.int(),
    namesCount: z.int(),
    hosts: z.array(NetworkHost),
  }),
});

export const rotateNetworkKeys = route({
  method: "POST",
  path: "/v1/orgs/:org/environments/:environment/network/rotate",
  role: "owner",
  summary: "New keys for every tunnel of an environment",
  params: EnvironmentPath,
  reply: z.strictObject({ keyGeneration: z.int() }),
});

/** A person's machine in an environment's network. */
export const NetworkPeer = z.strictObject({
  name: PeerName,
  /** E-mail address of who added it. */
  owner: z.string(),
  publicKey: z.string(),
  address: z.string(),
  expiresAt: z.string(),
});

/** What a person's machine must know of the network: each host that has something of the environment now. */
export const NetworkWay = z.strictObject({
  name: HostName,
  publicKey: z.string(),
  /** `address:port` */
  endpoint: z.string(),
  /** The addresses behind that host; its first is the host's resolver. */
  slice: z.string(),
  resolver: z.string(),
});

const NetworkPeers = z.strictObject({ peers: z.array(NetworkPeer), ways: z.array(NetworkWay) });

const PEERS = `${ENVIRONMENT}/network/peers`;

export const listNetworkPeers = route({
  method: "GET",
  path: PEERS,
  role: "member",
  summary: "People's machines in an environment's network",
  params: EnvironmentPath,
  reply: NetworkPeers,
});

/** 7 days. */
export const MOST_PEER_MINUTES = 7 * 24 * 60;

export const addNetworkPeer = route({
  method: "POST",
  path: PEERS,
  role: "member",
  summary: "A person's machine joins an environment's network for a while",
  params: EnvironmentPath,
  body: z.strictObject({
    name: PeerName,
    publicKey: WireguardKey,
    lifetimeMinutes: z.int().min(1).max(MOST_PEER_MINUTES).default(480),
  }),
  reply: z.strictObject({ peer: NetworkPeer, ways: z.array(NetworkWay) }),
});

export const removeNetworkPeer = route({
  method: "DELETE",
  path: `${PEERS}/:peer`,
  role: "member",
  summary: "A person's machine leaves an environment's network at once",
  params: EnvironmentPath.extend({ peer: PeerName }),
  reply: z.strictObject({ removed: z.boolean() }),
});
