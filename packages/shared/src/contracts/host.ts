/** Hosts: heartbeats that are standing bids, and the bid asked for.  agent ─HostHeartbeat─▶ scheduler, router */
import { z } from "zod";
import { HostId } from "../domain/ids.ts";
import { HostState } from "../domain/placement.ts";
import { defineRequest, defineSignal } from "./event.ts";
import { JobKey, ObservedJob } from "./job.ts";

export const HostHeartbeat = defineSignal({
  name: "HostHeartbeat",
  subject: "berth.v1.host.{hostId}.heartbeat",
  emittedBy: ["agent"],
  consumedBy: ["scheduler", "router"],
  about: "Every 2 s: the host's state, which is its standing bid, and every job it holds.",
  payload: z.strictObject({
    hostId: HostId,
    atMs: z.number(),
    /** The standing bid is void after this. */
    expiresAtMs: z.number(),
    /** Kernel boot id and agent start: tells a reboot and a restart. */
    bootId: z.string().max(64),
    agentStartedAtMs: z.number(),
    agentVersion: z.string().max(40),
    engineVersion: z.string().max(60),
    state: HostState,
    /** True when `jobs` is the whole ledger. */
    whole: z.boolean(),
    jobs: z.array(ObservedJob).max(500),
    /** Jobs whose containers are here although the ledger does not know them. */
    unknown: z.array(JobKey).max(500).optional(),
    /** Highest route table version applied, per environment. */
    routes: z.record(z.string(), z.int().min(0)),
  }),
});

export const AskBid = defineRequest({
  name: "AskBid",
  subject: "berth.v1.host.{hostId}.ask-bid",
  emittedBy: ["scheduler"],
  consumedBy: ["agent"],
  about: "Asks a host for a fresh bid when its standing one is stale.",
  payload: z.strictObject({ hostId: HostId }),
  reply: z.strictObject({ hostId: HostId, expiresAtMs: z.number(), state: HostState }),
  timeoutMs: 1000,
});

/** A host as its neighbours must know it. */
export const HostPeer = z.strictObject({
  hostId: HostId,
  name: z.string(),
  nodeAddress: z.string(),
  subnet: z.string(),
});
export type HostPeer = z.infer<typeof HostPeer>;

export const HostPeersChanged = defineSignal({
  name: "HostPeersChanged",
  subject: "berth.v1.peers.changed",
  emittedBy: ["api"],
  consumedBy: ["agent"],
  about: "The whole list of hosts and their container subnets; on change and every 10 s.",
  payload: z.strictObject({ revision: z.int().min(0), peers: z.array(HostPeer).max(1000) }),
});

export const GetHostPeers = defineRequest({
  name: "GetHostPeers",
  subject: "berth.v1.peers.get.{hostId}",
  emittedBy: ["agent"],
  consumedBy: ["api"],
  about: "An agent asks for the list of hosts at its start.",
  payload: z.strictObject({ hostId: HostId }),
  reply: z.strictObject({ revision: z.int().min(0), peers: z.array(HostPeer).max(1000) }),
  timeoutMs: 2000,
});
