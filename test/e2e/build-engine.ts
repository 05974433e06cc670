/**
 * The Docker Engine that builds for the e2e lab: in a network namespace of its own, because two engines in one would
 * share a bridge and hand out the same addresses. Everything made here is removed by `close`, also what an earlier
 * run left behind.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { until } from "../git/until.ts";

const execute = promisify(execFile);

const NAME = "berthe2e";
const OUTSIDE = "10.98.6.1";
const INSIDE = "10.98.6.2";
const startTimeoutMs = 60_000;
export const buildCgroup = `/${NAME}/buildkit`;

export interface BuildEngine {
  readonly socket: string;
  docker(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

/** @param dir kept over `close` when it holds images that are slow to make */
export async function startBuildEngine(dir: string): Promise<BuildEngine> {
  await removeLeftovers(dir);
  await mkdir(dir, { recursive: true });
  await makeNetwork();
  const socket = join(dir, "docker.sock");
  const child = spawn(
    "nsenter",
    [`--net=/run/netns/${NAME}`, "unshare", "--mount", "/usr/sbin/dockerd", ...engineOptions(dir, socket)],
    { stdio: "ignore" },
  );
  await writeFile(join(dir, "engine.pid"), String(child.pid));
  const docker = async (...args: string[]): Promise<string> =>
    (await execute("/usr/bin/docker", ["-H", `unix://${socket}`, ...args], { maxBuffer: 2 ** 24 })).stdout;
  await until(
    "the build engine",
    async () => {
      if (child.exitCode !== null) throw new Error(`dockerd ended with ${child.exitCode} at its start`);
      return docker("version").catch(() => undefined);
    },
    startTimeoutMs,
  );
  return {
    socket,
    docker,
    close: async () => {
      await stop(child);
      await removeLeftovers(dir);
    },
  };
}

function engineOptions(dir: string, socket: string): string[] {
  const options = {
    host: `unix://${socket}`,
    "data-root": join(dir, "data"),
    "exec-root": join(dir, "exec"),
    pidfile: join(dir, "docker.pid"),
    bip: "172.29.6.1/24",
    "cgroup-parent": `/${NAME}`,
    "log-level": "warn",
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}

const natRule = ["POSTROUTING", "-s", `${INSIDE}/32`, "!", "-o", `${NAME}o`, "-j", "MASQUERADE"];
const forwardRules = [
  ["FORWARD", "-s", `${INSIDE}/32`, "-j", "ACCEPT"],
  ["FORWARD", "-d", `${INSIDE}/32`, "-j", "ACCEPT"],
];

async function makeNetwork(): Promise<void> {
  const within = (...command: string[]) => execute("nsenter", [`--net=/run/netns/${NAME}`, ...command]);
  await execute("ip", ["netns", "add", NAME]);
  await execute("ip", ["link", "add", `${NAME}o`, "type", "veth", "peer", "name", `${NAME}i`]);
  await execute("ip", ["link", "set", `${NAME}i`, "netns", NAME]);
  await execute("ip", ["addr", "add", `${OUTSIDE}/30`, "dev", `${NAME}o`]);
  await execute("ip", ["link", "set", `${NAME}o`, "up"]);
  await within("ip", "link", "set", "lo", "up");
  await within("ip", "addr", "add", `${INSIDE}/30`, "dev", `${NAME}i`);
  await within("ip", "link", "set", `${NAME}i`, "up");
  await within("ip", "route", "add", "default", "via", OUTSIDE);
  await within("sysctl", "-qw", "net.ipv4.ip_forward=1");
  await execute("sysctl", ["-qw", "net.ipv4.ip_forward=1"]);
  await execute("iptables", ["-w", "-t", "nat", "-I", ...natRule]);
  for (const rule of forwardRules) await execute("iptables", ["-w", "-I", ...rule]);
}

/** Of a run that was killed: its engine first, then the network that it stood in. */
async function removeLeftovers(dir: string): Promise<void> {
  const quietly = (file: string, args: string[]) => execute(file, args).catch(() => undefined);
  const pid = Number(await readFile(join(dir, "engine.pid"), "utf8").catch(() => ""));
  const command = pid > 0 ? await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "") : "";
  if (command.includes(dir)) {
    process.kill(pid, "SIGTERM");
    await until("the engine of an earlier run to end", async () =>
      (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).includes(dir) ? undefined : true,
    );
  }
  await quietly("iptables", ["-w", "-t", "nat", "-D", ...natRule]);
  for (const rule of forwardRules) await quietly("iptables", ["-w", "-D", ...rule]);
  await quietly("ip", ["link", "del", `${NAME}o`]);
  await quietly("ip", ["netns", "del", NAME]);
  for (const name of ["engine.pid", "docker.pid", "exec"])
    await rm(join(dir, name), { recursive: true, force: true });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  await ended;
  clearTimeout(timer);
}
