/** Environment networks, as their members may see them. */
import { z } from "zod";
import { HostId } from "../../domain/ids.ts";
import { EnvironmentName, HostName, OrgName } from "../../domain/names.ts";
import { TunnelReport } from "../network.ts";
import { route } from "./route.ts";

const EnvironmentPath = z.strictObject({ org: OrgName, environment: EnvironmentName });

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
