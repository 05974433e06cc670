/**
 * For tests: the api and the secrets service as processes, with a real PostgreSQL and a real nats-server, and the
 * real CLI with a home of its own. Hosts are real clients of the bus that hold the JWTs which the api signed.
 */
import type { ChildProcess } from "node:child_process";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LiveNats, startLiveNats } from "@berth/infra/testing/live-nats.ts";
import type { ServiceName } from "@berth/shared/contracts/event.ts";
import type { EnvironmentId, HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { type Curve, createCurve } from "@berth/shared/kit/curve.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { createUser } from "@nats-io/nkeys";
import pg from "pg";
import type { PodFixture } from "./pod-fixture.ts";
import { addOrg, startPodFixture } from "./pod-fixture.ts";

const ROOT = join(import.meta.dirname, "../../../..");
const CLI = join(ROOT, "packages/cli/src/main.ts");

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface RunGiven {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
}

export interface JoinedHost {
  readonly hostId: HostId;
  readonly agent: Bus;
  readonly logshipper: Bus;
  /** What certificates and variables for the host are sealed to. */
  readonly curve: Curve;
  /** Why the server closed connections of the host. */
  closedReasons(): Promise<string[]>;
}

export async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + 30_000;
  while (!(await check())) {
    if (Date.now() > deadlineMs) throw new Error(`not within 30 s: ${what}`);
    await sleep(50);
  }
}

export class LiveApi {
  readonly pod: PodFixture;
  /** A superuser's connection: for writing other services' tables. */
  readonly admin: pg.Client;
  readonly apiUrl: string;
  /** Of the owner of the org acme, who is an operator too. */
  readonly token: string;
  readonly home = mkdtempSync(join(tmpdir(), "berth-api-home-"));
  readonly #live: LiveNats;
  readonly #processes: ChildProcess[] = [];
  readonly #buses: Bus[] = [];
  readonly #outputs: (() => string)[] = [];

  static async start(): Promise<LiveApi> {
    const pod = await startPodFixture();
    const live = await startLiveNats();
    const admin = new pg.Client({ connectionString: pod.adminUrl });
    await admin.connect();
    const port = await freePort();
    const { owner } = await addOrg(pod.db, "acme", { operator: true });
    const api = new LiveApi({ pod, live, admin, token: owner, apiUrl: `http://127.0.0.1:${port}` });
    await api.#startServices(port);
    return api;
  }

  private constructor(given: {
    pod: PodFixture;
    live: LiveNats;
    admin: pg.Client;
    token: string;
    apiUrl: string;
  }) {
    this.pod = given.pod;
    this.admin = given.admin;
    this.token = given.token;
    this.apiUrl = given.apiUrl;
    this.#live = given.live;
  }

  async #startServices(port: number): Promise<void> {
    const { pki, url } = this.#live;
    await this.#startService("api", {
      BERTH_LISTEN_PORT: String(port),
      BERTH_NATS_PUBLIC_URL: url,
      BERTH_NATS_ACCOUNT_SEED_FILE: pki.nats.accountSeedFile,
      BERTH_NATS_ACCOUNT_JWT_FILE: pki.nats.revoking.accountJwtFile,
      BERTH_NATS_SIGNING_SEED_FILE: pki.nats.revoking.signingSeedFile,
      BERTH_NATS_REVOKING_CREDS: pki.nats.revoking.credsFile,
      BERTH_API_DNS_SERVERS: this.pod.dns.address,
    });
    await this.#startService("secrets", {
      BERTH_MASTER_KEY_FILE: pki.masterKeyFile,
      BERTH_REGISTRY_SIGNING_KEY_FILE: pki.registrySigner.keyFile,
      BERTH_REGISTRY_SIGNING_CERT_FILE: pki.registrySigner.certFile,
      BERTH_REGISTRY: "127.0.0.1:7425",
    });
    await until(
      "the api is ready",
      async () => (await fetch(`${this.apiUrl}/readyz`).catch(() => null))?.ok === true,
    );
  }

  /** The router as a process, for tests that are about routes. */
  startRouter(env: Readonly<Record<string, string>> = {}): Promise<void> {
    return this.#startService("router", env);
  }

  /** All that the services wrote, as far back as 1 MB each. */
  output(): string {
    return this.#outputs.map((read) => read()).join("\n");
  }

  async #startService(name: "api" | "secrets" | "router", env: Record<string, string>): Promise<void> {
    const common = {
      PATH: process.env.PATH ?? "",
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? "",
      BERTH_STATE_DIR: this.home,
      BERTH_DATABASE_URL: this.pod.databaseUrls[name],
      BERTH_NATS_URL: this.#live.url,
      BERTH_NATS_CREDS: await this.#live.credsOf(name),
      BERTH_NATS_CA: this.#live.pki.ca.certFile,
    };
    const main = join(ROOT, `services/${name}/src/main.ts`);
    const child = spawn(process.execPath, [main], {
      env: { ...common, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#processes.push(child);
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      output = `${output}${chunk}`.slice(-1_000_000);
    });
    this.#outputs.push(() => output);
    await until(`${name} started`, async () => {
      if (child.exitCode !== null) throw new Error(`${name} ended: ${output}`);
      return output.includes("service.ready");
    });
  }

  async close(): Promise<void> {
    for (const bus of this.#buses) await bus.close();
    for (const child of this.#processes) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
    await this.admin.end();
    await this.#live.close();
    await this.pod.close();
    rmSync(this.home, { recursive: true, force: true });
  }

  async connectAs(service: ServiceName): Promise<Bus> {
    const bus = await this.#live.connectAs(service);
    this.#buses.push(bus);
    return bus;
  }

  env(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    const login = { BERTH_API: this.apiUrl, BERTH_TOKEN: this.token, BERTH_ENV: "acme/production" };
    const kept = { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? "" };
    const common = { PATH: process.env.PATH ?? "", HOME: this.home, GIT_TERMINAL_PROMPT: "0" };
    return { ...common, ...kept, ...login, ...extra };
  }

  /** Runs the CLI to its end. */
  berth(words: readonly string[], given: RunGiven = {}): Promise<Ran> {
    return this.run(process.execPath, [CLI, ...words], given);
  }

  run(file: string, words: readonly string[], given: RunGiven = {}): Promise<Ran> {
    const options = { env: this.env(given.env), cwd: given.cwd ?? this.home, timeout: 60_000 };
    return new Promise((resolve) => {
      const child = execFile(file, [...words], options, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 99), out, err }),
      );
      child.stdin?.end(given.stdin ?? "");
    });
  }

  /** Starts the CLI and leaves it running. */
  spawnBerth(
    words: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): { child: ChildProcess; out: () => string; err: () => string } {
    const child = spawn(process.execPath, [CLI, ...words], {
      env: this.env(env),
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      err += chunk.toString();
    });
    return { child, out: () => out, err: () => err };
  }

  /** Starts the CLI on a terminal of its own and leaves it running. */
  onTerminal(words: readonly string[]): {
    child: ChildProcess;
    shown: () => string;
    press: (key: string) => void;
  } {
    const command = ["exec", process.execPath, CLI, ...words].join(" ");
    const child = spawn("script", ["--quiet", "--return", "--flush", "--command", command, "/dev/null"], {
      env: this.env({ TERM: "xterm" }),
      stdio: ["pipe", "pipe", "ignore"],
    });
    let shown = "";
    child.stdout.on("data", (chunk: Buffer) => {
      shown += chunk.toString();
    });
    return { child, shown: () => shown, press: (key) => void child.stdin.write(key) };
  }

  async idsOf(
    service: string,
  ): Promise<{ orgId: string; serviceId: ServiceId; environmentId: EnvironmentId }> {
    const row = await this.pod.db
      .selectFrom("services")
      .select(["id", "environment_id", "org_id"])
      .where("name", "=", service)
      .where("deleted_at", "is", null)
      .executeTakeFirstOrThrow();
    return {
      orgId: row.org_id,
      serviceId: row.id as ServiceId,
      environmentId: row.environment_id as EnvironmentId,
    };
  }

  async joinHost(name: string): Promise<JoinedHost> {
    const keys = { agent: createUser(), logshipper: createUser() };
    const curve = createCurve();
    const reply = await fetch(`${this.apiUrl}/v1/hosts/join`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        token: (await this.berth(["hosts", "token"])).out.trim(),
        name,
        nodeAddress: "10.0.0.7",
        agentKey: keys.agent.getPublicKey(),
        logshipperKey: keys.logshipper.getPublicKey(),
        curveKey: curve.publicKey,
      }),
    });
    const joined = (await reply.json()) as { hostId: HostId; agentJwt: string; logshipperJwt: string };
    const agent = await this.#live.connectHost("agent", joined.hostId, joined.agentJwt, keys.agent);
    const logshipper = await this.#live.connectHost(
      "logshipper",
      joined.hostId,
      joined.logshipperJwt,
      keys.logshipper,
    );
    this.#buses.push(agent, logshipper);
    const closedReasons = () => this.#live.closedReasons(joined.hostId);
    return { hostId: joined.hostId, agent, logshipper, curve, closedReasons };
  }
}
