/**
 * A real Docker Engine and a real registry with token authentication, for builds only: an own network namespace, own
 * folders, own addresses. Everything made here is removed by `close`.
 *
 * The stack image's tars are kept in a folder of the machine (`BERTH_TEST_CACHE`), because making them takes a minute.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { ensureStackImage, type StackImage } from "@berth/infra/images/stack.ts";
import { until } from "../git/until.ts";

const execute = promisify(execFile);

export interface BuildLab {
  readonly dir: string;
  readonly socketPath: string;
  /** Plain HTTP, as this lab's engine is told. */
  readonly registry: string;
  readonly cgroup: string;
  readonly stack: StackImage;
  /** A token as the secrets service makes them. */
  token(repository: string, actions: readonly string[], alsoPull?: string): string;
  docker(...args: string[]): Promise<string>;
  /** Runs a command where containers can be reached. */
  inside(...command: string[]): Promise<string>;
  close(): Promise<void>;
}

/** Third octets of the lab's two networks; another lab on the same machine takes another number. */
const NUMBER = 64 + (process.pid % 128);
const HOST = `10.98.${String(NUMBER)}.1`;
const ENGINE = `10.98.${String(NUMBER)}.2`;
const PORT = 17_425;

export async function startBuildLab(): Promise<BuildLab> {
  const dir = await mkdtemp(join(tmpdir(), "berth-builds-"));
  const closers: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const closer of closers.reverse())
      await closer().catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
  };
  try {
    const name = `bld${String(process.pid)}`;
    await makeNetwork(name, closers);
    const registry = await startRegistry(dir, closers);
    const socketPath = await startEngine(dir, name, closers);
    const docker = async (...args: string[]): Promise<string> =>
      (
        await execute("/usr/bin/docker", ["-H", `unix://${socketPath}`, ...args], {
          maxBuffer: 16 * 1024 ** 2,
        })
      ).stdout.trim();
    const stateDir = process.env.BERTH_TEST_CACHE ?? join(tmpdir(), "berth-test-cache");
    const stack = await ensureStackImage({ dockerSocket: socketPath, stateDir, onProgress: () => undefined });
    return {
      dir,
      socketPath,
      registry: `${HOST}:${String(PORT)}`,
      cgroup: `/${name}/buildkit`,
      stack,
      token: registry.token,
      docker,
      inside: async (...command) =>
        (await execute("nsenter", [`--net=/run/netns/${name}`, ...command])).stdout,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function makeNetwork(name: string, closers: (() => Promise<unknown>)[]): Promise<void> {
  const outer = `${name}o`;
  const inner = `${name}i`;
  const subnet = `${HOST}/30`;
  await execute("ip", ["netns", "add", name]);
  closers.push(() => execute("ip", ["netns", "del", name]));
  await execute("ip", ["link", "add", outer, "type", "veth", "peer", "name", inner]);
  closers.push(() => execute("ip", ["link", "del", outer]));
  await execute("ip", ["link", "set", inner, "netns", name]);
  await execute("ip", ["addr", "add", subnet, "dev", outer]);
  await execute("ip", ["link", "set", outer, "up"]);
  const within = (...command: string[]) => execute("nsenter", [`--net=/run/netns/${name}`, ...command]);
  await within("ip", "link", "set", "lo", "up");
  await within("ip", "addr", "add", `${ENGINE}/30`, "dev", inner);
  await within("ip", "link", "set", inner, "up");
  await within("ip", "route", "add", "default", "via", HOST);
  await within("sysctl", "-qw", "net.ipv4.ip_forward=1");
  await execute("sysctl", ["-qw", "net.ipv4.ip_forward=1"]);
  const rules = [
    ["-t", "nat", "POSTROUTING", "-s", `${ENGINE}/32`, "!", "-o", outer, "-j", "MASQUERADE"],
    ["-t", "filter", "FORWARD", "-s", `${ENGINE}/32`, "-j", "ACCEPT"],
    ["-t", "filter", "FORWARD", "-d", `${ENGINE}/32`, "-j", "ACCEPT"],
  ];
  for (const [flag = "", table = "", ...rule] of rules) {
    await execute("iptables", ["-w", flag, table, "-I", ...rule]);
    closers.push(() => execute("iptables", ["-w", flag, table, "-D", ...rule]));
  }
}

async function startEngine(dir: string, name: string, closers: (() => Promise<unknown>)[]): Promise<string> {
  const socketPath = join(dir, "docker.sock");
  const options = [
    ...[
      "--host",
      `unix://${socketPath}`,
      "--data-root",
      join(dir, "docker"),
      "--exec-root",
      join(dir, "exec"),
    ],
    ...[
      "--pidfile",
      join(dir, "docker.pid"),
      "--bip",
      `172.30.${String(NUMBER)}.1/24`,
      "--log-level",
      "warn",
    ],
    ...["--insecure-registry", `${HOST}:${String(PORT)}`, "--cgroup-parent", `/${name}`],
  ];
  const command = [`--net=/run/netns/${name}`, "unshare", "-m", "/usr/sbin/dockerd", ...options];
  const child = spawn("nsenter", command, { stdio: "ignore" });
  closers.push(() => stop(child));
  await until("the engine answers", async () => {
    if (child.exitCode !== null) throw new Error("dockerd ended at its start");
    const answer = await execute("/usr/bin/docker", ["-H", `unix://${socketPath}`, "version"]).catch(
      () => undefined,
    );
    return answer?.stdout;
  });
  return socketPath;
}

async function startRegistry(dir: string, closers: (() => Promise<unknown>)[]) {
  const keyFile = join(dir, "signer.key");
  const certFile = join(dir, "signer.crt");
  const make = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
  ];
  await execute("openssl", [...make, "-keyout", keyFile, "-out", certFile, "-subj", "/CN=signer"]);
  const storage = join(dir, "registry");
  await mkdir(storage);
  const config = {
    version: 0.1,
    log: { level: "warn" },
    storage: { filesystem: { rootdirectory: storage } },
    http: { addr: `${HOST}:${String(PORT)}` },
    auth: {
      token: {
        realm: "http://unused/",
        service: "berth-registry",
        issuer: "berth-secrets",
        rootcertbundle: certFile,
      },
    },
  };
  const configFile = join(dir, "registry.json");
  await writeFile(configFile, JSON.stringify(config));
  const child = spawn("/usr/bin/docker-registry", ["serve", configFile], { stdio: "ignore" });
  closers.push(() => stop(child));
  await until(
    "the registry answers",
    async () =>
      await fetch(`http://${HOST}:${String(PORT)}/v2/`).then(
        (answer) => answer.status,
        () => undefined,
      ),
  );
  const key = createPrivateKey(await readFile(keyFile));
  const certificate = (await readFile(certFile, "utf8")).replace(/-----[A-Z ]+-----|\s/g, "");
  const token = (repository: string, actions: readonly string[], alsoPull?: string): string => {
    const access = [{ type: "repository", name: repository, actions }];
    if (alsoPull !== undefined) access.push({ type: "repository", name: alsoPull, actions: ["pull"] });
    return signToken(key, certificate, access);
  };
  return { token };
}

function signToken(key: KeyObject, certificate: string, access: object): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const header = part({ alg: "ES256", typ: "JWT", x5c: [certificate] });
  const claims = {
    iss: "berth-secrets",
    aud: "berth-registry",
    sub: "",
    iat: now,
    nbf: now - 30,
    exp: now + 900,
    access,
  };
  const text = `${header}.${part(claims)}`;
  const signature = sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  await ended;
  clearTimeout(timer);
}
