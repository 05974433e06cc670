/** Every key of the agent's configuration. */
import { MOST_JOBS_TOLD } from "@berth/shared/contracts/host.ts";
import { BusConfig } from "@berth/shared/kit/bus-config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { z } from "zod";

const path = z.string().startsWith("/", "must be an absolute path");
const bytes = z.coerce.number().int().min(0);
const percent = z.coerce.number().int().min(1).max(100);
const count = z.coerce.number().int().min(1);

const networks = z
  .string()
  .transform((text) => text.split(",").filter((one) => one !== ""))
  .pipe(z.array(z.cidrv4()).max(100));

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
  edgeTlsPort: key("BERTH_EDGE_TLS_PORT", z.coerce.number().int().min(1).max(65_535), {
    default: 8443,
    why: "where the edge listens for HTTPS",
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
  jobSlots: key("BERTH_AGENT_JOB_SLOTS", count.max(MOST_JOBS_TOLD), {
    default: 200,
    why: "most jobs of this host; below the limits of bridge, keys and inotify",
  }),
  networksCount: key("BERTH_AGENT_NETWORKS_COUNT", count, {
    default: 500,
    why: "most networks of this engine: each is a bridge with its packet rules",
  }),
  bridgePortsCount: key("BERTH_AGENT_BRIDGE_PORTS_COUNT", count.max(1023), {
    default: 1000,
    why: "most containers of one bridge; the kernel's end is 1023, and the last ones fail now and then",
  }),
  diskAlarmPercent: key("BERTH_AGENT_DISK_ALARM_PERCENT", percent, {
    default: 80,
    why: "from this share of used disk on the host raises the alarm disk-filling",
  }),
  imageKeptHours: key("BERTH_AGENT_IMAGE_KEPT_HOURS", count, {
    default: 7 * 24,
    why: "an image that no job used for so long is removed; it can be pulled again",
  }),
  garbageStartPercent: key("BERTH_AGENT_GARBAGE_START_PERCENT", percent, {
    default: 85,
    why: "from this share of used disk on unneeded images go, least recently used first",
  }),
  garbageEndPercent: key("BERTH_AGENT_GARBAGE_END_PERCENT", percent, {
    default: 75,
    why: "down to this share of used disk",
  }),
  volumeKeptHours: key("BERTH_AGENT_VOLUME_KEPT_HOURS", count, {
    default: 7 * 24,
    why: "a scratch volume that no container and no job names is removed after this",
  }),
  startsAtOnce: key("BERTH_AGENT_STARTS_AT_ONCE", count, {
    default: 8,
    why: "most starts in flight; how many it is, is measured: more than the engine is good for are slower for all",
  }),
  wireguardProgram: key("BERTH_WIREGUARD_GO", path.optional(), {
    why: "WireGuard in user space, for kernels without it; hostDir/tools/wireguard-go when not set",
  }),
  resolversDir: key("BERTH_AGENT_RESOLVERS_DIR", path, {
    default: "/run/berth/resolvers",
    why: "files of the environments' resolvers, who have no rights: readable by all",
  }),
  meshPort: key("BERTH_AGENT_MESH_PORT", z.coerce.number().int().min(1024).max(65_535), {
    default: 7426,
    why: "UDP port of the tunnels between the hosts' edges; must be open between hosts, as 21000-22999 must",
  }),
  leaveAfterMs: key("BERTH_AGENT_LEAVE_AFTER_MS", z.coerce.number().int().min(100), {
    default: 60_000,
    why: "how long the network of an environment without jobs stays, for the next deploy",
  }),
  allowedPrivate: key("BERTH_AGENT_ALLOWED_PRIVATE", networks, {
    default: "",
    why: "private networks that containers may reach, such as 10.20.0.0/16,192.168.7.9/32",
  }),
  trustedProxies: key("BERTH_AGENT_TRUSTED_PROXIES", networks, {
    default: "",
    why: "load balancers before the edge that speak the PROXY protocol: whom they name is the source",
  }),
  mailRelays: key("BERTH_AGENT_MAIL_RELAYS", networks, {
    default: "",
    why: "networks to which containers may connect at port 25, such as 192.0.2.25/32",
  }),
  cgroupParent: key("BERTH_AGENT_CGROUP_PARENT", z.string().optional(), {
    why: "cgroup of the jobs' containers; the engine's when not set",
  }),
} as const;
