/**
 * A real Docker Engine for tests: in its own network namespace, with its own folders, socket and a registry.
 *
 * The machine's namespace plays the part of another host: a veth pair leads to the engine's namespace, and a route
 * to its containers goes through it, so readiness probes come in as a peer's edge does. Everything made here is
 * removed by `close`, and only that.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  access,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

export interface TestEngine {
  readonly socket: string;
  readonly folder: string;
  readonly commandPrefix: readonly string[];
  readonly subnet: string;
  /** Address of the engine's namespace, and of the machine's side of the pair. */
  readonly nodeAddress: string;
  readonly peerAddress: string;
  readonly registry: string;
  /** @returns the digest */
  pushImage(repository: string, changes: readonly string[]): Promise<string>;
  docker(...args: string[]): Promise<string>;
  /** `kill -9` of dockerd; its containers go on (live restore). */
  killEngine(): Promise<void>;
  /** Without live restore dockerd ends the containers that it finds running. */
  startEngine(options?: { readonly liveRestore: boolean }): Promise<void>;
  close(): Promise<void>;
}

const DOCKER = "/usr/bin/docker";
/** The cable's end in the engine's namespace has the name that an agent of `pod-test` gives to its mesh. */
const INSIDE = "wm-podtest";

async function runCommand(argv: readonly string[], timeout = 10_000): Promise<string> {
  const [program = "", ...args] = argv;
  const { stdout } = await promisify(execFile)(program, args, { timeout, maxBuffer: 16 * 1024 ** 2 });
  return stdout;
}

export async function startTestEngine(number = (process.pid % 150) + 20): Promise<TestEngine> {
  const folder = await mkdtemp(join(tmpdir(), "berth-engine-"));
  const name = `bt${process.pid}`;
  const [peerAddress, nodeAddress] = [`10.97.${number}.1`, `10.97.${number}.2`];
  // A /20 of the range for such things: several environments of an agent, all behind the cable.
  const subnet = `100.${64 + Math.floor(number / 16)}.${(number % 16) * 16}.0/20`;
  await makeNamespace(name, peerAddress, nodeAddress, subnet);
  const commandPrefix = ["nsenter", `--net=/run/netns/${name}`];
  const children: ChildProcess[] = [];
  const socket = join(folder, "docker.sock");
  const docker = (...args: string[]) => runCommand([DOCKER, "-H", `unix://${socket}`, ...args], 60_000);
  const close = async () => {
    await removeContainers(docker).catch(() => {});
    await endAll(children);
    await endShims(folder);
    await endNamespace(name);
    await runCommand(["ip", "netns", "del", name]).catch(() => {});
    await runCommand(["ip", "link", "del", `${name}a`]).catch(() => {});
    await unmountAll(folder);
    await rm(folder, { recursive: true, force: true }).catch(() => {});
  };
  const startEngine = async ({ liveRestore } = { liveRestore: true }) => {
    children.push(startDockerd(folder, socket, commandPrefix, liveRestore));
    await until("dockerd", () => docker("version"));
  };
  const killEngine = () =>
    endAll(
      children.filter(({ spawnargs }) => spawnargs.includes("/usr/sbin/dockerd")),
      "SIGKILL",
    );
  try {
    children.push(await startRegistry(folder, commandPrefix), await startContainerd(folder));
    await until("containerd", () => access(join(folder, "containerd.sock")));
    await startEngine();
    const registry = "127.0.0.1:5000";
    const pushImage = (repository: string, changes: readonly string[]) =>
      makeImage(folder, docker, `${registry}/${repository}`, changes);
    return {
      socket,
      folder,
      commandPrefix,
      subnet,
      nodeAddress,
      peerAddress,
      registry,
      pushImage,
      docker,
      killEngine,
      startEngine,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function makeNamespace(name: string, peer: string, node: string, subnet: string): Promise<void> {
  const inside = ["ip", "-n", name];
  await runCommand(["ip", "netns", "add", name]);
  await runCommand(["ip", "link", "add", `${name}a`, "type", "veth", "peer", "name", INSIDE, "netns", name]);
  await runCommand(["ip", "addr", "add", `${peer}/30`, "dev", `${name}a`]);
  await runCommand(["ip", "link", "set", `${name}a`, "up"]);
  await runCommand([...inside, "addr", "add", `${node}/30`, "dev", INSIDE]);
  await runCommand([...inside, "link", "set", INSIDE, "up"]);
  await runCommand([...inside, "link", "set", "lo", "up"]);
  await runCommand([...inside, "route", "add", "default", "via", peer]);
  await runCommand(["ip", "route", "add", subnet, "via", node]);
}

function startDockerd(
  folder: string,
  socket: string,
  prefix: readonly string[],
  liveRestore: boolean,
): ChildProcess {
  const args = [
    "/usr/sbin/dockerd",
    "-H",
    `unix://${socket}`,
    "--data-root",
    join(folder, "data"),
    "--exec-root",
    join(folder, "exec"),
    "--pidfile",
    join(folder, "docker.pid"),
    // Its own child: an engine that is killed must not take it along.
    "--containerd",
    join(folder, "containerd.sock"),
    "--bridge",
    "none",
    "--userland-proxy=false",
    ...(liveRestore ? ["--live-restore"] : []),
  ];
  return start([...prefix, ...args], folder);
}

async function startContainerd(folder: string): Promise<ChildProcess> {
  const file = join(folder, "containerd.toml");
  const lines = [
    "version = 2",
    `root = "${join(folder, "containerd")}"`,
    `state = "${join(folder, "containerd-state")}"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    `[grpc]\n  address = "${join(folder, "containerd.sock")}"`,
  ];
  await writeFile(file, `${lines.join("\n")}\n`);
  return start(["/usr/bin/containerd", "--config", file], folder);
}

async function startRegistry(folder: string, prefix: readonly string[]): Promise<ChildProcess> {
  const file = join(folder, "registry.yml");
  const text = `version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: ${join(folder, "registry")}\nhttp:\n  addr: 127.0.0.1:5000\n`;
  await writeFile(file, text);
  return start([...prefix, "docker-registry", "serve", file], folder);
}

function start(argv: readonly string[], cwd: string): ChildProcess {
  const [program = "", ...args] = argv;
  return spawn(program, args, { cwd, stdio: "ignore" });
}

/** An image of nothing but busybox: small, with a shell, an HTTP server and every tool a test asks for. */
async function makeImage(
  folder: string,
  docker: TestEngine["docker"],
  reference: string,
  changes: readonly string[],
): Promise<string> {
  const root = await mkdtemp(join(folder, "image-"));
  for (const sub of ["bin", "tmp", "run", "etc", "www"]) await mkdir(join(root, sub));
  await copyFile("/bin/busybox", join(root, "bin/busybox"));
  for (const applet of ["sh", "httpd", "sleep", "cat", "env", "nc", "echo", "id", "wget", "tail"]) {
    await symlink("busybox", join(root, "bin", applet));
  }
  await writeFile(join(root, "etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/www:/bin/sh\n");
  await writeFile(join(root, "www/index.html"), "ok\n");
  await runCommand(["chmod", "-R", "a+rX", root]);
  await runCommand(["tar", "-C", root, "-cf", `${root}.tar`, "."]);
  await docker(
    "import",
    ...changes.flatMap((line) => ["--change", line]),
    `${root}.tar`,
    `${reference}:test`,
  );
  const pushed = await docker("push", `${reference}:test`);
  const digest = /digest: (sha256:[0-9a-f]{64})/.exec(pushed)?.[1];
  if (digest === undefined) throw new Error(`no digest in: ${pushed}`);
  await docker("rmi", `${reference}:test`);
  return digest;
}

async function removeContainers(docker: TestEngine["docker"]): Promise<void> {
  const ids = (await docker("ps", "-aq")).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await docker("rm", "-f", ...ids);
}

async function endAll(children: readonly ChildProcess[], signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  for (const child of children) child.kill(signal);
  for (
    let tries = 0;
    tries < 50 && children.some(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    tries++
  )
    await wait(100);
  for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
}

/** Shims outlive everything by design; ours name this engine's socket, and their children are the containers. */
async function endShims(folder: string): Promise<void> {
  const list = (await runCommand(["ps", "-eo", "pid=,ppid=,args="]))
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  const shims = new Set(
    list.filter((words) => words.includes(join(folder, "containerd.sock"))).map(([pid]) => pid),
  );
  kill(list.filter(([pid, parent]) => shims.has(pid) || shims.has(parent)).map(([pid]) => Number(pid)));
}

/** An agent's resolvers and tunnels go on without it, as they should. */
async function endNamespace(name: string): Promise<void> {
  const pids = await runCommand(["ip", "netns", "pids", name]).catch(() => "");
  kill(pids.split("\n").filter(Boolean).map(Number));
}

function kill(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
}

async function unmountAll(folder: string): Promise<void> {
  const mounts = (await readFile("/proc/self/mounts", "utf8"))
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "");
  for (const path of mounts.filter((mount) => mount.startsWith(`${folder}/`)).reverse()) {
    await runCommand(["umount", "-l", path]).catch(() => {});
  }
  await readdir(folder).catch(() => []);
}

export async function until(
  what: string,
  attempt: () => Promise<unknown>,
  timeoutMs = 30_000,
): Promise<void> {
  const endsAtMs = Date.now() + timeoutMs;
  for (;;) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (Date.now() > endsAtMs)
        throw new Error(`${what} was not there within ${timeoutMs / 1000} s`, { cause: error });
      await wait(50);
    }
  }
}
