/**
 * One whole pod for all cases: the control plane on the machine, one host with its own engine, one tiny app.
 * Every service can be armed to die at a crash point (`BERTH_CRASH_FILE`), and every process can be killed.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { hostNames } from "@berth/infra/lab/lab-names.ts";
import { type LabPod, labPodDown, labPodUp } from "@berth/infra/lab/lab-pod.ts";
import { type EnsuredService, ensureService } from "@berth/infra/pod/ensure-service.ts";
import { readPodFile } from "@berth/infra/pod/settings.ts";
import { connect, type SupervisorClient } from "@berth/infra/supervisor/client.ts";
import { readProcesses } from "@berth/infra/supervisor/process-spec.ts";
import type { ProcessStatus } from "@berth/infra/supervisor/protocol.ts";
import { scaleService } from "@berth/shared/contracts/http/api.ts";
import { callRoute } from "@berth/shared/contracts/http/client.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import pg from "pg";
import { type RoadService, roadServices } from "./cases.ts";
import { TinyApp } from "./tiny-app.ts";
import type { Site } from "./traffic.ts";
import { until } from "./until.ts";

const index = 8;
const calmAfterDeaths = 3;
const restartDeadlineMs = 60_000;
const say = (line: string): void => console.log(`   ${line}`);

const processesOfHost: ReadonlySet<string> = new Set([
  "activator",
  "agent",
  "edge",
  "logshipper",
  "host-dockerd",
]);
const environment = { org: "faults", environment: "test" };

interface Service extends EnsuredService {
  readonly site: Site;
}

export class FaultPod {
  readonly stateDir: string;
  readonly lab: LabPod;
  readonly host: LabHost;
  readonly db: pg.Pool;
  readonly service: Service;
  readonly app: TinyApp;
  readonly #control: SupervisorClient;
  readonly #ofHost: SupervisorClient;
  readonly #deaths = new Map<string, number>();

  constructor(given: {
    stateDir: string;
    lab: LabPod;
    db: pg.Pool;
    service: Service;
    app: TinyApp;
    control: SupervisorClient;
    ofHost: SupervisorClient;
  }) {
    this.stateDir = given.stateDir;
    this.lab = given.lab;
    this.host = given.lab.lab.host("h1");
    this.db = given.db;
    this.service = given.service;
    this.app = given.app;
    this.#control = given.control;
    this.#ofHost = given.ofHost;
  }

  push(): Promise<{ ok: boolean; output: string }> {
    return this.app.push(this.service.gitUrl, this.lab.pod.adminToken);
  }

  /** A process that ends again and again is started later each time; what a case measures is not that. */
  async calm(name: string): Promise<void> {
    const deaths = this.#deaths.get(name) ?? 0;
    if (deaths < calmAfterDeaths) return;
    this.#deaths.delete(name);
    await (processesOfHost.has(name) ? this.#ofHost : this.#control).restart(name);
    await until(
      `${name} to be ready`,
      async () => (await this.process(name)).state === "ready" || undefined,
      restartDeadlineMs,
    );
  }

  /** The nth time from now that the service comes to the point, it dies there; its next life does not. */
  arm(service: RoadService, point: string, nth = 1): void {
    writeFileSync(crashFile(this.stateDir, service), `${point} ${nth}`);
  }

  isArmed(service: RoadService): boolean {
    return existsSync(crashFile(this.stateDir, service));
  }

  disarm(service: RoadService): void {
    rmSync(crashFile(this.stateDir, service), { force: true });
  }

  async process(name: string): Promise<ProcessStatus> {
    const found = (await this.processes()).find((one) => one.name === name);
    if (found === undefined) throw new Error(`no supervisor has a process ${name}`);
    return found;
  }

  async has(name: string): Promise<boolean> {
    return (await this.processes()).some((one) => one.name === name);
  }

  /** Of the control plane and of the host; the host's engine is called `host-dockerd`. */
  async processes(): Promise<ProcessStatus[]> {
    const [control, ofHost] = await Promise.all([this.#control.status(), this.#ofHost.status()]);
    const named = ofHost.processes.map((one) =>
      one.name === "dockerd" ? { ...one, name: "host-dockerd" } : one,
    );
    return [...control.processes, ...named];
  }

  /** SIGKILL, as from outside. @returns what the process was before */
  async kill(name: string): Promise<ProcessStatus> {
    const before = await this.process(name);
    if (before.pid === null)
      throw new Error(`${name} does not run (${before.state}), so it cannot be killed`);
    if (!processesOfHost.has(name)) process.kill(before.pid, "SIGKILL");
    else {
      // Its pid holds in the host's own pid namespace.
      const { code, stderr } = await this.host.exec(["kill", "-9", String(before.pid)]);
      if (code !== 0) throw new Error(`kill -9 of ${name}: ${stderr}`);
    }
    return before;
  }

  /** Waits until the supervisor saw it end by SIGKILL and started it again. */
  async diedAndReturned(before: ProcessStatus): Promise<void> {
    this.#deaths.set(before.name, (this.#deaths.get(before.name) ?? 0) + 1);
    await until(
      `${before.name} to be killed and started again`,
      async () => {
        const now = await this.process(before.name);
        const exits = now.restarts - before.restarts;
        const back = exits > 0 && now.pid !== before.pid && now.state === "ready";
        // Where its database died with it, the kill may not be the last of its ends.
        const seen = exits > 1 || now.lastExit?.how.includes("SIGKILL") === true;
        return back && seen ? now : [`${JSON.stringify(now)}`];
      },
      restartDeadlineMs,
    );
  }

  /** Several at once, without a look between the kills. */
  async killAll(names: readonly string[]): Promise<ProcessStatus[]> {
    return Promise.all(names.map((name) => this.kill(name)));
  }

  async scale(instances: number): Promise<void> {
    const { pod } = this.lab;
    const call = { apiUrl: pod.apiUrl, token: pod.adminToken };
    const params = { ...environment, service: this.service.name };
    await callRoute(call, scaleService, {
      params,
      body: { processes: [{ process: "web", scale: instances }] },
    });
  }

  async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.db.query<Row>(text, [...values])).rows;
  }

  async close(keep: boolean): Promise<void> {
    await this.db.end();
    if (keep) return;
    await labPodDown(this.stateDir, say);
    rmSync(this.stateDir, { recursive: true, force: true });
  }
}

function crashFile(stateDir: string, service: RoadService): string {
  if (service !== "agent") return join(stateDir, "services", service, "crash-at");
  return join(hostNames(stateDir, index, 1).sharedDir, "berth", "agent", "crash-at");
}

/** @param givenDir a state folder that is kept from run to run; by default a new one */
export async function startFaultPod(givenDir: string | undefined): Promise<FaultPod> {
  const stateDir = givenDir ?? mkdtempSync(join(tmpdir(), "berth-faults-"));
  await mkdir(stateDir, { recursive: true });
  const armed = roadServices.map((service) => [service, { BERTH_CRASH_FILE: crashFile(stateDir, service) }]);
  const serviceEnv: Record<string, Record<string, string>> = Object.fromEntries(armed);
  // Each case waits for the old instance to be gone.
  serviceEnv.scheduler = { ...serviceEnv.scheduler, BERTH_DRAIN_MS: "500" };
  // A kept pod has its ports written down.
  const kept = (await readPodFile(stateDir)) !== null;
  const ports = kept ? {} : { postgresPort: await freePort(), natsMonitorPort: await freePort() };
  const lab = await labPodUp({
    ...{ hosts: 1, stateDir, index, cacheDir: join(tmpdir(), "berth-lab-cache") },
    // The app needs no base image.
    settings: { ...ports, stackImage: false, serviceEnv },
    environment: {},
    progress: say,
    writeCredentials: false,
  });
  const control = await supervisorOf(lab.pod.runDir);
  const url = (await readProcesses(lab.pod.runDir)).find(({ name }) => name === "scheduler")?.env
    .BERTH_DATABASE_URL;
  const db = new pg.Pool({
    connectionString: url,
    max: 4,
    connectionTimeoutMillis: 5000,
    query_timeout: 5000,
  });
  db.on("error", () => undefined); // PostgreSQL is killed on purpose
  const ofHost = await supervisorOf(lab.lab.host("h1").supervisorDir);
  const service = await makeSite(lab);
  const app = await TinyApp.make(mkdtempSync(join(stateDir, "app-")));
  return new FaultPod({ stateDir, lab, db, service, app, control, ofHost });
}

async function supervisorOf(runDir: string): Promise<SupervisorClient> {
  const supervisor = await connect(runDir);
  if (supervisor === null) throw new Error(`no supervisor runs in ${runDir}`);
  return supervisor;
}

async function makeSite({ pod, lab }: LabPod): Promise<Service> {
  const api = { apiUrl: pod.apiUrl, token: pod.adminToken };
  // Each run has its own: what an earlier, kept run left must not count.
  const made = await ensureService(api, { ...environment, service: `app${Date.now().toString(36)}` });
  const host = lab.host("h1").address;
  return { ...made, site: { host, port: pod.settings.edgePort, hostname: made.hostname } };
}
