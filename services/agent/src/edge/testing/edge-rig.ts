/** What the edge's tests with a real HAProxy stand on: a proxy, apps and clients on loopback, all ended by `closeAll`. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type Agent, createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { expect, vi } from "vitest";
import { createEdge } from "../edge.ts";
import type { Acknowledgement, Edge, EdgeGiven } from "../edge-types.ts";

export const closers: (() => Promise<void> | void)[] = [];

export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

export interface Rig {
  readonly edge: Edge;
  readonly dir: string;
  readonly port: number;
  readonly acks: Acknowledgement[];
  readonly log: () => string;
  proxy: ChildProcess;
  startProxy(): Promise<ChildProcess>;
  openEdge(): Edge;
}

export async function startRig(binary: string, more: Partial<EdgeGiven> = {}): Promise<Rig> {
  const dir = await mkdtemp("/tmp/berth-edge-test-");
  closers.push(() => rm(dir, { recursive: true, force: true }));
  const port = await freePort();
  const acks: Acknowledgement[] = [];
  const socketPath = join(dir, "haproxy.sock");
  let output = "";
  const openEdge = (): Edge => {
    const edge = createEdge({
      dir,
      socketPath,
      port,
      bindAddress: "127.0.0.1",
      binary,
      log: silentLog,
      clock: systemClock,
      installRestMs: 500,
      acknowledged: (a) => void acks.push(...a),
      ...more,
    });
    closers.push(() => edge.close());
    return edge;
  };
  const startProxy = async (): Promise<ChildProcess> => {
    const child = spawn(binary, ["-f", join(dir, "haproxy.cfg")], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout?.on("data", (d: Buffer) => {
      output += d.toString();
    });
    child.stderr?.on("data", (d: Buffer) => {
      output += d.toString();
    });
    closers.push(() => endProxy(child));
    await vi.waitFor(() => expect(existsSync(socketPath), output).toBe(true), {
      timeout: 5000,
      interval: 20,
    });
    return child;
  };
  const edge = openEdge();
  await edge.start();
  const rig: Rig = {
    edge,
    dir,
    port,
    acks,
    log: () => output,
    proxy: await startProxy(),
    startProxy,
    openEdge,
  };
  await edge.verify();
  return rig;
}

export async function endProxy(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}

export async function startApp(
  name: string,
  more?: (server: Server) => void,
): Promise<{ port: number; server: Server }> {
  const server = createServer((req, res) => {
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify({ name, headers: req.headers, method: req.method, url: req.url }));
  });
  more?.(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, server };
}

export const jobId = (port: number): string => `job_${String(port).padStart(26, "0")}`;
export const ENV = "env_00000000000000000000000001";

export function table(
  version: number,
  sites: Record<string, readonly number[]>,
  environmentId = ENV,
  allow?: readonly string[],
): RouteTable {
  return {
    environmentId,
    version,
    sites: Object.entries(sites).map(([hostname, ports]) => ({
      hostname,
      serviceId: "svc_00000000000000000000000001",
      ...(allow === undefined ? {} : { allow }),
      backends: ports.map((port) => ({ jobId: jobId(port), address: "127.0.0.1", port })),
    })),
  } as unknown as RouteTable;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

export function get(
  port: number,
  host: string,
  headers: Record<string, string> = {},
  agent?: Agent,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path: "/some/path?token=secret", timeout: 10_000 };
    const req = request({ ...options, headers: { host, ...headers }, ...(agent ? { agent } : {}) }, (res) => {
      let body = "";
      res.on("data", (d: Buffer) => {
        body += d.toString();
      });
      res.on("end", () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body }));
    });
    req.on("error", reject);
    req.on("timeout", () => req.destroy(new Error("no answer in 10 s")));
    req.end();
  });
}

export function raw(port: number, text: string, waitMs = 2000): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let out = "";
    socket.on("data", (d: Buffer) => {
      out += d.toString();
    });
    socket.on("close", () => resolve(out));
    socket.on("error", () => resolve(out));
    socket.setTimeout(waitMs, () => socket.destroy());
    socket.write(text);
  });
}

export async function killProxy(rig: Rig): Promise<void> {
  const children = await readFile(`/proc/${rig.proxy.pid}/task/${rig.proxy.pid}/children`, "utf8");
  for (const pid of children.trim().split(/\s+/)) process.kill(Number(pid), "SIGKILL");
  rig.proxy.kill("SIGKILL");
  await once(rig.proxy, "exit");
  await rm(join(rig.dir, "haproxy.sock"), { force: true });
}
