/** Every key of the builder. Limits are those of one build; the reasons say what they protect. */
import { BusConfig, DatabaseConfig } from "@berth/shared/kit/bus-config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { z } from "zod";

const count = (max: number) => z.coerce.number().int().min(1).max(max);
const optional = <S extends z.ZodType>(schema: S) => schema.nullable();
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

export const BuilderConfig = {
  ...BusConfig,
  ...DatabaseConfig,
  objectStore: key("BERTH_OBJECT_STORE", z.url(), {
    why: "where source bundles lie: file:///dir or s3://bucket",
  }),
  registry: key("BERTH_REGISTRY", z.string().regex(/^[a-z0-9.-]+(:\d+)?$/, "must be host:port"), {
    why: "where images go",
  }),
  dockerSocket: key("BERTH_BUILD_DOCKER_SOCKET", z.string().startsWith("/", "must be a path"), {
    default: "/var/run/docker.sock",
    why: "the Docker Engine that builds; better not the one that runs apps",
  }),
  stackImage: key("BERTH_STACK_IMAGE", z.string().startsWith("berth/stack:"), {
    default: "berth/stack:bookworm",
    why: "base of buildpack apps; berth/stack-build:<same tag> is where they are built",
  }),
  concurrency: key("BERTH_BUILD_CONCURRENCY", count(64), {
    default: 2,
    why: "builds at once in this process",
  }),
  timeoutMs: key("BERTH_BUILD_TIMEOUT_MS", count(24 * 3_600_000), {
    default: 900_000,
    why: "a build that hangs",
  }),
  memoryBytes: key("BERTH_BUILD_MEMORY_BYTES", count(1024 * GIB), {
    default: 2 * GIB,
    why: "other builds' memory",
  }),
  cpus: key("BERTH_BUILD_CPUS", z.coerce.number().min(0.1).max(256), {
    default: 2,
    why: "other builds' time",
  }),
  pidsCount: key("BERTH_BUILD_PIDS_COUNT", count(100_000), { default: 1024, why: "fork bombs" }),
  sourceBytes: key("BERTH_BUILD_SOURCE_BYTES", count(64 * GIB), {
    default: GIB,
    why: "disk: the unpacked source",
  }),
  sourceEntriesCount: key("BERTH_BUILD_SOURCE_ENTRIES_COUNT", count(10_000_000), {
    default: 200_000,
    why: "inodes: files and folders of the source",
  }),
  appBytes: key("BERTH_BUILD_APP_BYTES", count(64 * GIB), { default: 2 * GIB, why: "disk: the built /app" }),
  cacheBytes: key("BERTH_BUILD_CACHE_BYTES", count(64 * GIB), {
    default: GIB,
    why: "disk: one service's build cache",
  }),
  layersBytes: key("BERTH_BUILD_LAYERS_BYTES", count(1024 * GIB), {
    default: 10 * GIB,
    why: "disk: layers of all Dockerfile builds on the engine; the least recently used go first",
  }),
  layersKeptHours: key("BERTH_BUILD_LAYERS_KEPT_HOURS", count(24 * 365), {
    default: 7 * 24,
    why: "layers of Dockerfile builds that no build used for so long are removed",
  }),
  pressurePercent: key("BERTH_BUILD_PRESSURE_PERCENT", count(100), {
    default: 85,
    why: "from this share of used disk on the engine's build caches are cut down",
  }),
  imageBytes: key("BERTH_BUILD_IMAGE_BYTES", count(1024 * GIB), {
    default: 4 * GIB,
    why: "disk and time: the layers of a ready image, as its registry stores them",
  }),
  imageRegistries: key(
    "BERTH_BUILD_IMAGE_REGISTRIES",
    z
      .string()
      .transform((text) => text.split(",").filter((one) => one !== ""))
      .pipe(z.array(z.url({ protocol: /^https?$/ }).transform((url) => new URL(url).origin))),
    {
      default: "",
      why: "registries of your own, as URLs with commas between them: ready images may come from them although they are not on the public Internet",
    },
  ),
  outputBytes: key("BERTH_BUILD_OUTPUT_BYTES", count(64 * MIB), {
    default: 4 * MIB,
    why: "a build that prints on and on",
  }),
  cgroup: key(
    "BERTH_BUILD_CGROUP",
    z.string().regex(/^(\/[\w.-]+)+$/, "must be a path such as /docker/buildkit"),
    {
      default: "/docker/buildkit",
      why: "where engines before version 23 run Dockerfile steps: <the engine's cgroup parent>/buildkit",
    },
  ),
  extraCaFile: key("BERTH_BUILD_EXTRA_CA_FILE", optional(z.string().startsWith("/", "must be a path")), {
    default: null,
    why: "PEM bundle that builds trust besides Debian's, for sites behind an inspecting proxy",
  }),
  npmRegistry: key("BERTH_BUILD_NPM_REGISTRY", optional(z.url()), {
    default: null,
    why: "npm mirror for builds",
  }),
  pypiIndex: key("BERTH_BUILD_PYPI_INDEX", optional(z.union([z.url(), z.literal("none")])), {
    default: null,
    why: "Python package index for builds; `none` where there is none",
  }),
  leaseMs: key("BERTH_BUILD_LEASE_MS", z.coerce.number().int().min(2000).max(600_000), {
    default: 15_000,
    why: "a build whose builder is silent this long is started again",
  }),
  pollMs: key("BERTH_BUILD_POLL_MS", z.coerce.number().int().min(100).max(60_000), {
    default: 2000,
    why: "how late a build starts when its message was lost",
  }),
} as const;
