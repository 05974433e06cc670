/**
 * The processes of a host that has joined: the edge's proxy, the agent and the log shipper.
 *
 * The agent writes the proxy's configuration and certificates, so the proxy waits for them; the agent itself waits for nothing
 * but the engine, because running work must come back without the control plane.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { systemPath } from "../parts/part-files.ts";
import { codeVersion, serviceMain } from "../pod/code.ts";
import { nodeProcess, pick } from "../pod/services.ts";
import type { ProcessSpecInput } from "../supervisor/process-spec.ts";
import { activatorStateFolder } from "./activator-user.ts";

export type HostProcessesOptions = {
  readonly hostDir: string;
  readonly dockerSocket: string;
  readonly edgePort: number;
  readonly edgeTlsPort: number;
  /** From host.json: where this host finds the bus. */
  readonly natsUrl: string;
  readonly logLevel?: string;
  /** Processes of the same supervisor that must be ready before: `dockerd` where we run it. */
  readonly dependsOn?: readonly string[];
  /** Null: it runs as root. */
  readonly activatorUser: string | null;
  /** Put before each name, for several hosts under one supervisor. */
  readonly namePrefix?: string;
  /** Put before each command: `nsenter …` for a host in a namespace. */
  readonly commandPrefix?: readonly string[];
  /** More environment for the agent and the log shipper. */
  readonly env?: Readonly<Record<string, string>>;
};

export interface EdgePaths {
  readonly config: string;
  readonly socket: string;
  /** In memory, with the certificates: the proxy may start once it is there. */
  readonly ready: string;
}

export function edgePaths(hostDir: string): EdgePaths {
  const dir = join(hostDir, "edge");
  return {
    config: join(dir, "haproxy.cfg"),
    socket: join(dir, "haproxy.sock"),
    ready: join(dir, "tls", "ready"),
  };
}

/** Processes whose code is there. */
export function hostProcesses(options: HostProcessesOptions): ProcessSpecInput[] {
  const edge = edgePaths(options.hostDir);
  const agentEnv = {
    BERTH_HAPROXY_SOCKET: edge.socket,
    BERTH_EDGE_PORT: String(options.edgePort),
    BERTH_EDGE_TLS_PORT: String(options.edgeTlsPort),
  };
  const own = [
    ourProcess("agent", options, agentEnv),
    ourProcess("logshipper", options, {}),
    activatorProcess(options),
  ];
  return [edgeProcess(options, edge), ...own.filter((spec) => spec !== null)];
}

function edgeProcess(options: HostProcessesOptions, edge: EdgePaths): ProcessSpecInput {
  return {
    name: `${options.namePrefix ?? ""}edge`,
    command: [...(options.commandPrefix ?? []), "/usr/sbin/haproxy", "-W", "-db", "-f", edge.config],
    env: { PATH: systemPath },
    startWhenFile: edge.ready,
    readiness: { kind: "unix", path: edge.socket },
    // Soft stop: the workers finish their requests, then the deadline ends them.
    stopSignal: "SIGUSR1",
    stopTimeoutMs: 3000,
  };
}

/** MiB of each of the three spaces in which V8 keeps young objects; untold it takes 16, and never gives them back. */
const NURSERY_MIB = { agent: 8, logshipper: 4, activator: 4 } as const;

const nursery = (name: keyof typeof NURSERY_MIB): string => `--max-semi-space-size=${NURSERY_MIB[name]}`;

/** Strangers' requests reach it: it gets no keys, no bus, no engine and no root, and little memory. */
function activatorProcess(options: HostProcessesOptions): ProcessSpecInput | null {
  if (!existsSync(serviceMain("activator"))) return null;
  const spec = nodeProcess("activator", ["--max-old-space-size=192", nursery("activator")]);
  const folder = join(options.hostDir, activatorStateFolder);
  return {
    ...spec,
    name: `${options.namePrefix ?? ""}activator`,
    command: [...(options.commandPrefix ?? []), ...spec.command],
    env: {
      PATH: systemPath,
      HOME: folder,
      LANG: "C.UTF-8",
      TZ: "UTC",
      NODE_ENV: "production",
      BERTH_STATE_DIR: folder,
      BERTH_HOST_DIR: options.hostDir,
      BERTH_LOG_LEVEL: options.logLevel ?? "info",
      BERTH_CODE_VERSION: codeVersion("activator"),
      ...pick(options.env ?? {}, /^BERTH_ACTIVATOR_/),
    },
    ...(options.activatorUser === null ? {} : { user: options.activatorUser }),
  };
}

function ourProcess(
  name: "agent" | "logshipper",
  options: HostProcessesOptions,
  extra: Readonly<Record<string, string>>,
): ProcessSpecInput | null {
  if (!existsSync(serviceMain(name))) return null;
  const { hostDir } = options;
  const spec = nodeProcess(name, [nursery(name)]);
  const folder = join(hostDir, name);
  return {
    ...spec,
    name: `${options.namePrefix ?? ""}${name}`,
    command: [...(options.commandPrefix ?? []), ...spec.command],
    dependsOn: [...(options.dependsOn ?? [])],
    env: {
      PATH: systemPath,
      HOME: folder,
      LANG: "C.UTF-8",
      TZ: "UTC",
      NODE_ENV: "production",
      NODE_EXTRA_CA_CERTS: join(hostDir, "ca.crt"),
      // Its compiled code: recovery starts in half the time. Only for those whom no stranger reaches.
      NODE_COMPILE_CACHE: join(folder, "code-cache"),
      BERTH_STATE_DIR: folder,
      BERTH_HOST_DIR: hostDir,
      BERTH_DOCKER_SOCKET: options.dockerSocket,
      BERTH_NATS_URL: options.natsUrl,
      BERTH_NATS_CREDS: join(hostDir, `${name}.creds`),
      BERTH_NATS_CA: join(hostDir, "ca.crt"),
      BERTH_LOG_LEVEL: options.logLevel ?? "info",
      BERTH_CODE_VERSION: codeVersion(name),
      ...extra,
      ...options.env,
    },
  };
}
