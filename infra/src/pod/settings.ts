/**
 * The settings of a pod: defaults < what `pod.json` kept from the first `up` < environment < command line.
 *
 * What was chosen once stays chosen, so that `berth up` without arguments after a reboot gives the same pod.
 * The file is 0600, because the URL of an outside PostgreSQL holds a password. No other secret is a setting.
 */
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { HostName } from "@berth/shared/domain/names.ts";
import { z } from "zod";
import { replaceFile } from "../pki/key-file.ts";

const Port = z.coerce.number().int().min(1).max(65_535);
const Path = z.string().startsWith("/", "must be an absolute path");

export const PodSettings = z.strictObject({
  /** Unix sockets lie in it, and their paths may have 107 bytes. */
  stateDir: Path.max(70, "must have at most 70 characters").default("/var/lib/berth"),
  /** `host`: this machine only runs jobs; its control plane is elsewhere. Set by `berth host join`. */
  role: z.enum(["pod", "host"]).default("pod"),
  /** Address that nats, registry, api and git listen on. Several machines: 0.0.0.0 or a private address. */
  listenHost: z.union([z.ipv4(), z.ipv6()]).default("127.0.0.1"),
  /** Address that hosts and customers are told; also this machine's own address as a host. */
  publicAddress: z.string().min(1).default("127.0.0.1"),
  apiPort: Port.default(7420),
  gitPort: Port.default(7421),
  natsPort: Port.default(7422),
  postgresPort: Port.default(7423),
  natsMonitorPort: Port.default(7424),
  registryPort: Port.default(7425),
  edgePort: Port.default(8000),
  edgeTlsPort: Port.default(8443),
  podDomain: z.string().min(1).default("berth.localhost"),
  /** Addresses of all environments' networks. */
  podCidr: z.cidrv4().default("10.128.0.0/10"),
  /** The hosts' own subnets, for the traffic between them. */
  hostCidr: z.cidrv4().default("10.127.0.0/16"),
  natsStoreBytes: z.coerce.number().int().min(1_000_000_000).default(4_000_000_000),
  /** Admin URL of an existing PostgreSQL ≥ 15. Without it one is run from the state folder. */
  postgresUrl: z
    .string()
    .regex(/^postgres(ql)?:\/\//)
    .optional(),
  /** Without it: a folder in the state folder. */
  objectStore: z
    .string()
    .regex(/^(file|s3):\/\//)
    .optional(),
  /** An engine that must be used. Without it: the one of the machine, else our own. */
  dockerSocket: Path.optional(),
  hostName: HostName.default(() => hostNameOf(hostname())),
  /** False: control plane only, this machine runs no jobs. */
  joinThisMachine: z.stringbool().or(z.boolean()).default(true),
  /** False: the base image of buildpack apps is not made (a control plane without a builder; tests). */
  stackImage: z.stringbool().or(z.boolean()).default(true),
  /** Own system user per service where the code can be read by others; off: all run as root. */
  serviceUsers: z.stringbool().or(z.boolean()).default(true),
  adminEmail: z.email().default("admin@berth.local"),
  logLevel: z.enum(["debug", "info", "warn", "error"]).default("info"),
  /** `BERTH_*` limits of single services that the operator set (docs/OPERATING.md). */
  tuning: z.record(z.string(), z.string()).default({}),
  /** Environment for one service only: tests name a crash point here. */
  serviceEnv: z.record(z.string(), z.record(z.string(), z.string())).default({}),
});
export type PodSettings = z.infer<typeof PodSettings>;
export type PodSettingsInput = z.input<typeof PodSettings>;

/** What `pod.json` keeps besides the settings. */
const PodFile = z.object({
  settings: z.record(z.string(), z.unknown()),
  engine: z.enum(["own", "given"]).optional(),
  versions: z.record(z.string(), z.string()).default({}),
});
export type PodFile = z.infer<typeof PodFile>;

const environmentKeys: Readonly<Record<string, keyof PodSettingsInput>> = {
  BERTH_STATE_DIR: "stateDir",
  BERTH_LISTEN_HOST: "listenHost",
  BERTH_PUBLIC_ADDRESS: "publicAddress",
  BERTH_API_PORT: "apiPort",
  BERTH_GIT_PORT: "gitPort",
  BERTH_NATS_PORT: "natsPort",
  BERTH_POSTGRES_PORT: "postgresPort",
  BERTH_NATS_MONITOR_PORT: "natsMonitorPort",
  BERTH_REGISTRY_PORT: "registryPort",
  BERTH_EDGE_PORT: "edgePort",
  BERTH_EDGE_TLS_PORT: "edgeTlsPort",
  BERTH_POD_DOMAIN: "podDomain",
  BERTH_POD_CIDR: "podCidr",
  BERTH_HOST_CIDR: "hostCidr",
  BERTH_NATS_STORE_BYTES: "natsStoreBytes",
  BERTH_POSTGRES_URL: "postgresUrl",
  BERTH_OBJECT_STORE: "objectStore",
  BERTH_DOCKER_SOCKET: "dockerSocket",
  BERTH_HOST_NAME: "hostName",
  BERTH_JOIN_THIS_MACHINE: "joinThisMachine",
  BERTH_MAKE_STACK_IMAGE: "stackImage",
  BERTH_SERVICE_USERS: "serviceUsers",
  BERTH_ADMIN_EMAIL: "adminEmail",
  BERTH_LOG_LEVEL: "logLevel",
};

/** Limits and times of single services. Addresses and tokens, which the CLI has variables for, are none. */
const tuningName =
  /^BERTH_(?!.*_(URL|TOKEN)$)((API|GIT|BUILD|ROUTER|NETWORK|SCHEDULER|AGENT)_[A-Z_]+|STACK_IMAGE|[A-Z_]+_(MS|SECONDS))$/;

type Environment = Readonly<Record<string, string | undefined>>;

export function settingsFromEnvironment(environment: Environment): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  const tuning: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || value === "" || !name.startsWith("BERTH_")) continue;
    const key = environmentKeys[name];
    if (key !== undefined) settings[key] = value;
    else if (tuningName.test(name)) tuning[name] = value;
  }
  return { ...settings, tuning };
}

export function stateDirOf(
  given: { readonly stateDir?: string | undefined },
  environment: Environment,
): string {
  return given.stateDir ?? environment.BERTH_STATE_DIR ?? PodSettings.parse({}).stateDir;
}

/** @throws Error that names each wrong setting and where it may come from. */
export async function resolveSettings(
  given: Partial<PodSettingsInput>,
  environment: Environment,
): Promise<PodSettings> {
  const stateDir = stateDirOf(given, environment);
  const stored = (await readPodFile(stateDir))?.settings ?? {};
  const fromEnvironment = settingsFromEnvironment(environment);
  const defined = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const tuning = { ...(stored.tuning as object | undefined), ...(fromEnvironment.tuning as object) };
  const parsed = PodSettings.safeParse({ ...stored, ...fromEnvironment, tuning, ...defined, stateDir });
  if (!parsed.success) {
    throw new Error(
      `the pod's settings (command line, BERTH_* variables, ${podFilePath(stateDir)}) are wrong:\n${z.prettifyError(parsed.error)}`,
    );
  }
  return parsed.data;
}

export function podFilePath(stateDir: string): string {
  return join(stateDir, "pod.json");
}

export async function readPodFile(stateDir: string): Promise<PodFile | null> {
  const text = await readFile(podFilePath(stateDir), "utf8").catch(() => null);
  if (text === null) return null;
  const parsed = PodFile.safeParse(JSON.parse(text));
  if (!parsed.success)
    throw new Error(`${podFilePath(stateDir)} is damaged: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/**
 * A pod of before environments had networks of their own gave each host a part of one range, all in one bridge.
 * @throws Error with what to do, when this is such a pod
 */
export function refuseSharedNetwork(stateDir: string, pod: PodFile | null): void {
  if (pod === null || pod.settings.podCidr === undefined || pod.settings.hostCidr !== undefined) return;
  throw new Error(
    `the pod in ${stateDir} was made when all containers of a host shared one network (${String(pod.settings.podCidr)}), and its containers cannot be moved into networks of their environments. Go on with the version that made it, or remove it with that version's 'berth reset' (apps are pushed again, variables are set again) and run this again.`,
  );
}

/** `serviceEnv` is for one run only. */
export async function writePodFile(
  settings: PodSettings,
  rest: Pick<PodFile, "engine" | "versions">,
): Promise<void> {
  const { serviceEnv: _oneRunOnly, ...kept } = settings;
  await replaceFile(
    podFilePath(settings.stateDir),
    `${JSON.stringify({ settings: kept, ...rest }, null, 2)}\n`,
  );
}

function hostNameOf(name: string): string {
  const cleaned = name
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 40)
    .replace(/-+$/, "");
  return cleaned === "" ? "host" : cleaned;
}
