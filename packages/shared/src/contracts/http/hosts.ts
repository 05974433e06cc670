/** Hosts of the pod, and how a machine joins. */
import { z } from "zod";
import { HostId } from "../../domain/ids.ts";
import { HostName } from "../../domain/names.ts";
import { HostState } from "../../domain/placement.ts";

import { route } from "./route.ts";

export const Host = z.strictObject({
  id: HostId,
  name: HostName,
  nodeAddress: z.string(),
  subnet: z.string(),
  zone: z.string(),
  state: z.enum(["alive", "suspect", "lost", "never-seen"]),
  lastHeartbeatAt: z.string().nullable(),
  engineVersion: z.string().nullable(),
  jobsCount: z.int(),
  bid: HostState.nullable(),
  joinedAt: z.string(),
});
export const listHosts = route({
  method: "GET",
  path: "/v1/hosts",
  role: "operator",
  summary: "Hosts of the pod with their standing bids",
  reply: z.strictObject({ hosts: z.array(Host) }),
});
export const createJoinToken = route({
  method: "POST",
  path: "/v1/hosts/join-tokens",
  role: "operator",
  summary: "A one-time token with which one machine joins",
  body: z.strictObject({ lifetimeMinutes: z.int().min(1).max(1440).default(60) }),
  reply: z.strictObject({ token: z.string(), expiresAt: z.string() }),
});

/** Proves possession of a one-time token; everything else about the host is made on the host. */
export const joinHost = route({
  method: "POST",
  path: "/v1/hosts/join",
  role: "anyone",
  summary: "Join a machine to the pod with a one-time token",
  body: z.strictObject({
    token: z.string().max(200),
    name: HostName,
    nodeAddress: z.ipv4(),
    zone: z.string().max(40).default("default"),
    /** NKey public keys (`U…`) of the two processes and the curve public key (`X…`) of the agent. */
    agentKey: z.string().regex(/^U[A-Z2-7]{55}$/),
    logshipperKey: z.string().regex(/^U[A-Z2-7]{55}$/),
    curveKey: z.string().regex(/^X[A-Z2-7]{55}$/),
  }),
  reply: z.strictObject({
    hostId: HostId,
    name: HostName,
    podId: z.string(),
    nodeAddress: z.string(),
    subnet: z.string(),
    zone: z.string(),
    natsUrl: z.string(),
    /** JWTs confined to this host's subjects. */
    agentJwt: z.string(),
    logshipperJwt: z.string(),
    registry: z.string(),
    podDomain: z.string(),
    caCertificatePem: z.string(),
  }),
});
export type JoinReply = z.infer<typeof joinHost.reply>;

/** `hostDir/host.json`: what a host knows of itself; written by `berth host join`, read by agent and logshipper. */
export const HostFile = joinHost.reply.omit({ agentJwt: true, logshipperJwt: true, caCertificatePem: true });
export type HostFile = z.infer<typeof HostFile>;
