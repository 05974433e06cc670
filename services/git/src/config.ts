/** Every key of the git service. Sizes are limits of one push; the reasons say what they protect. */
import { BusConfig, DatabaseConfig } from "@berth/shared/kit/bus-config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { z } from "zod";

const count = (max: number) => z.coerce.number().int().min(1).max(max);
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

export const GitConfig = {
  ...BusConfig,
  ...DatabaseConfig,
  listenHost: key("BERTH_LISTEN_HOST", z.string(), {
    default: "127.0.0.1",
    why: "where git clients reach it",
  }),
  listenPort: key("BERTH_LISTEN_PORT", z.coerce.number().int().min(0).max(65_535), {
    default: 7421,
    why: "where git clients reach it",
  }),
  publicUrl: key("BERTH_GIT_PUBLIC_URL", z.url(), {
    default: "http://127.0.0.1:7421",
    why: "start of every repository's URL",
  }),
  objectStore: key("BERTH_OBJECT_STORE", z.url(), {
    why: "where source bundles go: file:///dir or s3://bucket",
  }),
  podDomain: key("BERTH_POD_DOMAIN", z.string().min(1), {
    default: "berth.localhost",
    why: "the URL that a push ends with",
  }),
  edgePort: key("BERTH_EDGE_PORT", z.coerce.number().int().min(1).max(65_535), {
    default: 8000,
    why: "the URL that a push ends with",
  }),

  packBytes: key("BERTH_GIT_PACK_BYTES", count(64 * GIB), {
    default: 256 * MIB,
    why: "disk of the git service",
  }),
  objectsCount: key("BERTH_GIT_OBJECTS_COUNT", count(100_000_000), {
    default: 200_000,
    why: "memory and time of git's own checks",
  }),
  refsCount: key("BERTH_GIT_REFS_COUNT", count(10_000), { default: 50, why: "each ref costs a walk" }),
  treeEntriesCount: key("BERTH_GIT_TREE_ENTRIES_COUNT", count(10_000_000), {
    default: 100_000,
    why: "files and folders of a checkout",
  }),
  treeDepthCount: key("BERTH_GIT_TREE_DEPTH_COUNT", count(500), {
    default: 50,
    why: "nesting of a checkout",
  }),
  pathBytes: key("BERTH_GIT_PATH_BYTES", count(4095), {
    default: 1024,
    why: "longest path of a checkout; Linux ends at 4,095",
  }),
  blobBytes: key("BERTH_GIT_BLOB_BYTES", count(16 * GIB), {
    default: 100 * MIB,
    why: "largest file of a checkout",
  }),
  checkoutBytes: key("BERTH_GIT_CHECKOUT_BYTES", count(256 * GIB), {
    default: GIB,
    why: "the builder's disk",
  }),

  childMemoryBytes: key("BERTH_GIT_CHILD_MEMORY_BYTES", count(64 * GIB), {
    default: GIB,
    why: "one git process must not take the machine",
  }),
  childCpuSeconds: key("BERTH_GIT_CHILD_CPU_SECONDS", count(86_400), {
    default: 300,
    why: "one git process must not take the machine",
  }),
  transferTimeoutMs: key("BERTH_GIT_TRANSFER_TIMEOUT_MS", count(86_400_000), {
    default: 600_000,
    why: "a push's upload with its checks, or a fetch",
  }),
  followTimeoutMs: key("BERTH_GIT_FOLLOW_TIMEOUT_MS", count(86_400_000), {
    default: 3_600_000,
    why: "how long a push shows its deploy",
  }),
  transfersCount: key("BERTH_GIT_TRANSFERS_COUNT", count(1000), {
    default: 16,
    why: "git processes at once, in all",
  }),
  orgTransfersCount: key("BERTH_GIT_ORG_TRANSFERS_COUNT", count(1000), {
    default: 6,
    why: "git processes at once of one org",
  }),
  repairEveryMs: key("BERTH_GIT_REPAIR_EVERY_MS", count(3_600_000), {
    default: 30_000,
    why: "finds pushes that were cut off",
  }),
} as const;
