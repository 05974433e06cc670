/** Every key of the agent's configuration. */
import { BusConfig } from "@berth/shared/kit/bus-config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { z } from "zod";

const path = z.string().startsWith("/", "must be an absolute path");
const bytes = z.coerce.number().int().min(0);
const count = z.coerce.number().int().min(1);

export const AgentConfig = {
  natsUrl: BusConfig.natsUrl,
  natsCredsFile: BusConfig.natsCredsFile,
  natsCaFile: BusConfig.natsCaFile,
  hostDir: key("BERTH_HOST_DIR", path, { why: "host.json, curve.seed, the ledger, the edge's files" }),
  dockerSocket: key("BERTH_DOCKER_SOCKET", path, {
    default: "/var/run/docker.sock",
    why: "the host's Docker Engine",
  }),
  haproxySocket: key("BERTH_HAPROXY_SOCKET", path.optional(), {
    why: "Runtime API of the host's HAProxy; hostDir/edge/haproxy.sock when not set",
  }),
  edgePort: key("BERTH_EDGE_PORT", z.coerce.number().int().min(1).max(65_535), {
    default: 8000,
    why: "where the edge listens",
  }),
  busyboxFile: key("BERTH_BUSYBOX", path, {
    default: "/bin/busybox",
    why: "static busybox that loads a job's variables",
  }),
  memoryBytes: key("BERTH_AGENT_MEMORY_BYTES", bytes.optional(), {
    why: "memory that this host offers, when several hosts share one machine; the engine's when not set",
  }),
  reservedMemoryBytes: key("BERTH_AGENT_RESERVED_MEMORY_BYTES", bytes, {
    default: 512 * 1024 ** 2,
    why: "memory kept back for the system and the agent",
  }),
  reservedDiskBytes: key("BERTH_AGENT_RESERVED_DISK_BYTES", bytes, {
    default: 2 * 1024 ** 3,
    why: "disk kept back: an engine whose disk is full does not come back by itself",
  }),
  jobSlots: key("BERTH_AGENT_JOB_SLOTS", count, {
    default: 200,
    why: "most jobs of this host; below the limits of bridge, keys and inotify",
  }),
  startsAtOnce: key("BERTH_AGENT_STARTS_AT_ONCE", count, {
    default: 4,
    why: "starts in flight; more are slower for all",
  }),
  networkName: key("BERTH_AGENT_NETWORK", z.string().regex(/^[a-z0-9]{1,15}$/), {
    default: "berth0",
    why: "name of the jobs' bridge",
  }),
  cgroupParent: key("BERTH_AGENT_CGROUP_PARENT", z.string().optional(), {
    why: "cgroup of the jobs' containers; the engine's when not set",
  }),
} as const;
