/**
 * A real S3 server for tests: OpenStack Swift with its S3 API, from Debian's packages, on loopback ports of its own.
 *
 * Four processes (proxy, account, container, object), one folder as the only device, one replica, users in the
 * proxy's configuration. Nothing of the system is configured or left running: every process is a child that is
 * ended by its id, and dies with this process.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensurePackages } from "@berth/infra/install/debian-packages.ts";
import { run } from "@berth/infra/run-command.ts";

const packages = ["swift-proxy", "swift-account", "swift-container", "swift-object", "util-linux"];
const startTimeoutMs = 150_000;
const commandTimeoutMs = 60_000;
const pollMs = 100;
const storageServers = ["account", "container", "object"] as const;
type ServerName = (typeof storageServers)[number] | "proxy";
type Ports = Readonly<Record<ServerName, number>>;

export type Swift = {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Makes a bucket; it may exist already. */
  makeBucket(bucket: string): Promise<void>;
  /** Keys of all objects, and of uploads in parts that were begun and neither ended nor given up. */
  listNames(bucket: string): Promise<readonly string[]>;
  /** Sends a signal to one server, or ends it with SIGKILL, which is waited for. */
  signal(server: ServerName, signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Starts again what was killed, on the same port with the same data. */
  restart(server: ServerName): Promise<void>;
  close(): Promise<void>;
};

/** @param given.dir is made, and removed by `close`; its file system must have extended attributes. */
export async function startSwift(given: { readonly dir: string }): Promise<Swift> {
  await ensurePackages(packages, (line) => console.log(`   ${line}`));
  const { dir } = given;
  const keys = { accessKey: "berth:tester", secretKey: randomBytes(12).toString("hex") };
  const ports = await freePorts();
  await writeConfiguration(dir, ports, keys.secretKey);
  await Promise.all(storageServers.map((name) => makeRing(dir, name, ports[name])));
  const running = new Map<ServerName, ChildProcess>();
  const start = (name: ServerName): Promise<void> => startServer(dir, name, ports[name], running);
  const end = async (name: ServerName): Promise<void> => {
    const child = running.get(name);
    running.delete(name);
    if (child !== undefined) await endChild(child);
  };
  const close = async (): Promise<void> => {
    await Promise.all([...running.keys()].map(end));
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await Promise.all([start("proxy"), ...storageServers.map(start)]);
  } catch (error) {
    await close();
    throw error;
  }
  const access = { endpoint: `http://127.0.0.1:${ports.proxy}`, region: "us-east-1", ...keys };
  return {
    ...access,
    close,
    makeBucket: async (bucket) => void (await request(access, "PUT", `/${bucket}`)),
    listNames: (bucket) => listNames(access, bucket),
    async signal(name, signal) {
      if (signal === "SIGKILL") return await end(name);
      running.get(name)?.kill(signal);
    },
    restart: start,
  };
}

type Access = Pick<Swift, "endpoint" | "region" | "accessKey" | "secretKey">;

/**
 * One signed request (AWS Signature Version 4), for what the tested client has no way to ask.
 * @param query one parameter without a value, or none
 */
async function request(access: Access, method: string, path: string, query = ""): Promise<string> {
  const { endpoint, region, accessKey, secretKey } = access;
  const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
  const hmac = (key: string | Buffer, text: string): Buffer =>
    createHmac("sha256", key).update(text).digest();
  const now = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const day = now.slice(0, 8);
  const signed = { host: new URL(endpoint).host, "x-amz-content-sha256": sha256(""), "x-amz-date": now };
  const names = Object.keys(signed).join(";");
  const lines = Object.entries(signed).map(([name, value]) => `${name}:${value}\n`);
  const canonicalQuery = query === "" ? "" : `${query}=`;
  const canonical = [method, path, canonicalQuery, lines.join(""), names, sha256("")].join("\n");
  const scope = [day, region, "s3", "aws4_request"];
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${secretKey}`);
  const text = `AWS4-HMAC-SHA256\n${now}\n${scope.join("/")}\n${sha256(canonical)}`;
  const credential = `Credential=${accessKey}/${scope.join("/")}`;
  const signature = `Signature=${hmac(key, text).toString("hex")}`;
  const authorization = `AWS4-HMAC-SHA256 ${credential},SignedHeaders=${names},${signature}`;
  const reply = await fetch(`${endpoint}${path}${query === "" ? "" : `?${query}`}`, {
    method,
    headers: { ...signed, authorization },
    signal: AbortSignal.timeout(commandTimeoutMs),
  });
  const body = await reply.text();
  if (reply.ok || body.includes("BucketAlreadyOwnedByYou")) return body;
  throw new Error(`${method} ${path}: ${reply.status} ${body}`);
}

async function listNames(access: Access, bucket: string): Promise<readonly string[]> {
  const objects = await request(access, "GET", `/${bucket}`);
  const uploads = await request(access, "GET", `/${bucket}`, "uploads");
  return [...`${objects}${uploads}`.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key ?? "").sort();
}

async function writeConfiguration(dir: string, ports: Ports, secretKey: string): Promise<void> {
  await mkdir(join(dir, "devices", "d1"), { recursive: true, mode: 0o700 });
  // No worker processes: each server is one process, so that ending its id ends it.
  const common = (name: ServerName): string =>
    `[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = ${ports[name]}\nworkers = 0\nuser = root\nswift_dir = ${dir}\n`;
  await writeFile(
    join(dir, "swift.conf"),
    "[swift-hash]\nswift_hash_path_suffix = test\nswift_hash_path_prefix = test\n",
  );
  for (const name of storageServers) {
    const device = `devices = ${join(dir, "devices")}\nmount_check = false\n`;
    const pipeline = `[pipeline:main]\npipeline = ${name}-server\n[app:${name}-server]\nuse = egg:swift#${name}\n`;
    await writeFile(join(dir, `${name}.conf`), `${common(name)}${device}${pipeline}`);
  }
  const filters = [
    "catch_errors",
    "gatekeeper",
    "cache",
    "listing_formats",
    "bulk",
    "s3api",
    "tempauth",
    "slo",
  ];
  const sections = filters.map(
    (name) =>
      `[filter:${name}]\nuse = egg:swift#${name === "cache" ? "memcache" : name}\n${filterOptions(name, secretKey)}`,
  );
  const app = "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n";
  const pipeline = `[pipeline:main]\npipeline = ${filters.join(" ")} proxy-server\n`;
  await writeFile(join(dir, "proxy.conf"), [common("proxy"), pipeline, app, ...sections].join(""), {
    mode: 0o600,
  });
}

function filterOptions(name: string, secretKey: string): string {
  if (name === "tempauth") return `user_berth_tester = ${secretKey} .admin\n`;
  // tempauth wants a client of memcached for its own tokens. S3 requests are signed and have none: nobody listens there.
  if (name === "cache") return "memcache_servers = 127.0.0.1:1\nerror_suppression_limit = 0\n";
  if (name === "s3api") return "location = us-east-1\n";
  return "";
}

async function makeRing(dir: string, name: string, port: number): Promise<void> {
  const builder = join(dir, `${name}.builder`);
  for (const step of [["create", "2", "1", "0"], ["add", `r1z1-127.0.0.1:${port}/d1`, "1"], ["rebalance"]])
    await run(["swift-ring-builder", builder, ...step], { timeoutMs: commandTimeoutMs });
}

async function startServer(
  dir: string,
  name: ServerName,
  port: number,
  running: Map<ServerName, ChildProcess>,
): Promise<void> {
  const logFile = join(dir, `${name}.log`);
  const log = openSync(logFile, "a");
  const command = ["--pdeathsig", "KILL", `swift-${name}-server`, join(dir, `${name}.conf`), "-v"];
  const child = spawn("setpriv", command, { stdio: ["ignore", log, log], cwd: dir });
  closeSync(log);
  running.set(name, child);
  const deadlineMs = performance.now() + startTimeoutMs;
  // The proxy answers this one path itself; a storage server answers anything that is HTTP.
  while (!(await answers(`http://127.0.0.1:${port}/`))) {
    const ended = child.exitCode !== null || child.signalCode !== null;
    if (!ended && performance.now() < deadlineMs) {
      await sleep(pollMs);
      continue;
    }
    const tail = (await readFile(logFile, "utf8")).split("\n").slice(-15).join("\n");
    throw new Error(
      `swift-${name}-server ${ended ? "ended" : `did not answer in ${startTimeoutMs} ms`}:\n${tail}`,
    );
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const reply = await fetch(url, { signal: AbortSignal.timeout(5000) });
    await reply.body?.cancel();
    return true;
  } catch {
    return false;
  }
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

/** Ports that are free now, held together until all are known, so that they differ. */
async function freePorts(): Promise<Ports> {
  const servers = await Promise.all(
    [0, 1, 2, 3].map(async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const [proxy, account, container, object] = servers.map((server) => {
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }) as [number, number, number, number];
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return { proxy, account, container, object };
}
