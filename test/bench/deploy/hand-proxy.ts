/**
 * HAProxy configured by hand, in a host's network namespace beside Berth's edge, with the same program:
 *
 *   plain   what a short tutorial gives: a map of host names, X-Forwarded-For, kept connections to the app
 *   duties  what Berth's edge also does: forged headers out, an id and a log line per request
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { cpuSecondsOf } from "../kit/cpu.ts";

export type HandKind = "plain" | "duties";

export interface HandGiven {
  readonly host: LabHost;
  /** Seen by the host at the same path. */
  readonly folder: string;
  readonly port: number;
  readonly kind: HandKind;
  readonly hostname: string;
  /** `address:port` of each instance. */
  readonly backends: readonly string[];
}

const startTimeoutMs = 10_000;

const duties = `  log stdout len 4096 format raw local0 info
  unique-id-format %[uuid()]
`;
const dutiesOfFrontend = `  log-format '{"time":%Ts%ms,"host":"%[capture.req.hdr(0),json(utf8s)]","status":%ST,"bytes":%B,"ms":{"total":%Ta},"server":"%b/%s","requestId":"%[unique-id]"}'
  http-request capture req.fhdr(host) len 100
  http-request del-header ^(x-forwarded-.*|forwarded|x-real-ip)$ -m reg
  http-request set-header X-Request-Id %[unique-id]
  http-after-response set-header X-Request-Id %[unique-id]
`;

export class HandProxy {
  readonly #given: HandGiven;
  readonly #config: string;
  #child: ChildProcess | null = null;
  #generation = 0;

  constructor(given: HandGiven) {
    this.#given = given;
    this.#config = join(given.folder, `${given.kind}.cfg`);
  }

  /** @throws Error when it does not answer in time */
  async start(): Promise<void> {
    await mkdir(this.#given.folder, { recursive: true, mode: 0o755 });
    await this.#write();
    const [program = "", ...enter] = this.#given.host.enter();
    const haproxy = ["/usr/sbin/haproxy", "-W", "-db", "-f", this.#config];
    this.#child = spawn(program, [...enter, ...haproxy], { stdio: "ignore" });
    await this.#untilServed(startTimeoutMs);
  }

  /** From the written file to the first answer of the worker that has it. */
  async reload(): Promise<number> {
    await this.#write();
    const startedMs = performance.now();
    const [master] = this.#pids();
    if (master === undefined) throw new Error("the proxy configured by hand does not run");
    process.kill(master, "SIGUSR2");
    await this.#untilServed(startTimeoutMs);
    return performance.now() - startedMs;
  }

  /** Of master and workers. */
  cpuSeconds(): number {
    return this.#pids().reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
  }

  async close(): Promise<void> {
    for (const pid of this.#pids()) process.kill(pid, "SIGKILL");
    this.#child?.kill("SIGKILL");
  }

  async #write(): Promise<void> {
    this.#generation += 1;
    const { port, kind, hostname, backends } = this.#given;
    const map = join(this.#given.folder, "hosts.map");
    await writeFile(map, `${hostname} app\n`);
    const servers = backends.map((backend, i) => `  server s${i} ${backend} check inter 2s`).join("\n");
    await writeFile(
      this.#config,
      `global
  stats socket ${join(this.#given.folder, `${kind}.sock`)} mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout connect 2500ms
  timeout client 60s
  timeout server 120s
  timeout tunnel 1h
${kind === "duties" ? duties : ""}
frontend hand
  bind *:${port}
  option forwardfor
${kind === "duties" ? dutiesOfFrontend : ""}  http-response set-header X-Generation ${this.#generation}
  use_backend %[req.hdr(host),field(1,:),lower,map_str(${map})]
backend app
  balance leastconn
${servers}
`,
    );
  }

  async #untilServed(timeoutMs: number): Promise<void> {
    const endAtMs = performance.now() + timeoutMs;
    for (;;) {
      const generation = await this.#ask();
      if (generation === String(this.#generation)) return;
      if (performance.now() > endAtMs)
        throw new Error(`haproxy with ${this.#config} does not serve it after ${timeoutMs / 1000} s`);
      await delay(1);
    }
  }

  #ask(): Promise<string | null> {
    const { host, port, hostname } = this.#given;
    return new Promise((resolve) => {
      const asked = request(
        {
          host: host.address,
          port,
          path: "/",
          agent: false,
          headers: { host: hostname, connection: "close" },
        },
        (reply) => {
          reply.resume();
          reply.once("error", () => resolve(null));
          reply.once("end", () => resolve(String(reply.headers["x-generation"] ?? "")));
        },
      );
      asked.once("error", () => resolve(null));
      asked.end();
    });
  }

  #pids(): number[] {
    return processesWith(this.#config);
  }
}

/** The HAProxy processes that were started with this file, the master first; pids as the machine sees them. */
export function processesWith(configFile: string): number[] {
  const found = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const words = read(`/proc/${pid}/cmdline`).split("\0");
      return words[0]?.endsWith("haproxy") === true && words.includes(configFile);
    });
  const isWorker = (pid: number): boolean => found.includes(parentOf(pid));
  return found.toSorted((a, b) => Number(isWorker(a)) - Number(isWorker(b)) || a - b);
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has ended
  }
}
