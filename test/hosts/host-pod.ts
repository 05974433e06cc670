/**
 * One pod for all cases: the control plane on the machine, five hosts with an engine each, two tiny apps whose images
 * are on every host, and visitors of both.
 *
 *   lone   one replica: what its host's loss costs is seen in it
 *   pair   two replicas on two hosts: one host's loss must not be seen in it
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { type LabPod, labPodDown, labPodUp } from "@berth/infra/lab/lab-pod.ts";
import { type EnsuredService, ensureService } from "@berth/infra/pod/ensure-service.ts";
import { readPodFile } from "@berth/infra/pod/settings.ts";
import { readProcesses } from "@berth/infra/supervisor/process-spec.ts";
import {
  changeHost,
  changeServicePolicy,
  changeVars,
  scaleService,
  sleepService,
} from "@berth/shared/contracts/http/api.ts";
import { type ApiTarget, callRoute } from "@berth/shared/contracts/http/client.ts";
import { GIB } from "@berth/shared/domain/resources.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import pg from "pg";
import { TinyApp } from "../faults/tiny-app.ts";
import { until } from "../faults/until.ts";
import { problems } from "./at-rest.ts";
import { ControlPlane, crashFile } from "./control-plane.ts";
import { Visitors } from "./visitors.ts";

export const hostsCount = 5;
/** Another one for a second pod on the same machine. */
const index = Number(process.env.BERTH_HOSTS_INDEX ?? 7);
const hostMemoryBytes = 3 * GIB;
const restDeadlineMs = 120_000;
const environment = { org: "hosts", environment: "test" };

export type AppName = "lone" | "pair";
const scales: Readonly<Record<AppName, number>> = { lone: 1, pair: 2 };

export interface App extends EnsuredService {
  readonly name: AppName;
}

export interface HostPodOptions {
  /** Made by the caller; the pod's for ever after. */
  readonly stateDir: string;
  readonly say: (line: string) => void;
  /** Ends every wait of a case. */
  readonly signal?: AbortSignal;
}

interface Parts extends HostPodOptions {
  readonly lab: LabPod;
  readonly db: pg.Pool;
  readonly control: ControlPlane;
  readonly apps: Readonly<Record<AppName, App>>;
}

export class HostPod {
  readonly stateDir: string;
  readonly say: (line: string) => void;
  readonly lab: LabPod;
  readonly control: ControlPlane;
  readonly apps: Readonly<Record<AppName, App>>;
  readonly visitors: Readonly<Record<AppName, Visitors>>;
  readonly #db: pg.Pool;
  readonly #wanted = new Map<AppName, number>();
  readonly #signal: AbortSignal | undefined;

  constructor({ stateDir, say, signal, lab, db, control, apps }: Parts) {
    this.stateDir = stateDir;
    this.say = say;
    this.lab = lab;
    this.control = control;
    this.apps = apps;
    this.#db = db;
    this.#signal = signal;
    const port = lab.pod.settings.edgePort;
    this.visitors = {
      lone: new Visitors(this.hosts, port, apps.lone.hostname),
      pair: new Visitors(this.hosts, port, apps.pair.hostname),
    };
  }

  get hosts(): readonly LabHost[] {
    return this.lab.lab.hosts;
  }

  get edgePort(): number {
    return this.lab.pod.settings.edgePort;
  }

  /** Replicas that each app should have. */
  get wanted(): ReadonlyMap<AppName, number> {
    return this.#wanted;
  }

  async query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.#db.query<Row>(text, [...values])).rows;
  }

  async scale(app: AppName, scale: number): Promise<void> {
    const params = { ...environment, service: app };
    await callRoute(this.#api, scaleService, { params, body: { processes: [{ process: "web", scale }] } });
    this.#wanted.set(app, scale);
  }

  /** A new release of the same image: configuration is part of a release. @returns the deploy's id */
  async release(app: AppName): Promise<string> {
    const params = { ...environment, service: app };
    const set = { CHANGED_AT: new Date().toISOString() };
    const { deployId } = await callRoute(this.#api, changeVars, { params, body: { set } });
    if (deployId === null) throw new Error(`a new variable made no release of ${app}`);
    return deployId;
  }

  async drain(host: string, draining: boolean): Promise<void> {
    await callRoute(this.#api, changeHost, { params: { host }, body: { draining } });
  }

  async sleep(app: AppName): Promise<void> {
    const params = { ...environment, service: app };
    await callRoute(this.#api, sleepService, { params, body: {} });
  }

  /** Null: it does not fall asleep by itself. */
  async sleepAfter(app: AppName, sleepAfterMs: number | null): Promise<void> {
    const params = { ...environment, service: app };
    await callRoute(this.#api, changeServicePolicy, { params, body: { sleepAfterMs } });
  }

  get #api(): ApiTarget {
    return { apiUrl: this.lab.pod.apiUrl, token: this.lab.pod.adminToken, timeoutMs: 10_000 };
  }

  /** @throws when the rehearsal is interrupted */
  async wait(ms: number): Promise<void> {
    await delay(Math.max(0, ms), undefined, { signal: this.#signal });
  }

  /** Waits until everything is as desired on every host and at every edge. @returns how long that took */
  async rest(deadlineMs = restDeadlineMs): Promise<number> {
    const startedAtMs = Date.now();
    const look = async (): Promise<true | string[]> => {
      const found = await problems(this);
      return found.length === 0 ? true : found;
    };
    await until("the pod to come to rest", look, deadlineMs, 100);
    return Date.now() - startedAtMs;
  }

  /** As at the start: every host on, both apps with their usual replicas, nothing counted. */
  async reset(): Promise<void> {
    await Promise.all(this.hosts.map((host) => (host.isRunning() ? host.heal() : host.start())));
    for (const app of ["lone", "pair"] as const) {
      if (this.#wanted.get(app) !== scales[app]) await this.scale(app, scales[app]);
    }
    await this.rest();
    for (const visitors of Object.values(this.visitors)) visitors.take();
  }

  /** Lets go of it; the lab stays. */
  async close(): Promise<void> {
    await Promise.all(Object.values(this.visitors).map((visitors) => visitors.stop()));
    await this.#db.end();
  }
}

/** Removes all that a pod in this folder is made of, the folder too. */
export async function removeHostPod(stateDir: string, say: (line: string) => void): Promise<void> {
  await labPodDown(stateDir, say);
  rmSync(stateDir, { recursive: true, force: true });
}

/** A folder for one pod; others may enter it, because services run as users of their own. */
export function makeStateDir(): string {
  const stateDir = mkdtempSync(join(tmpdir(), "berth-hosts-"));
  chmodSync(stateDir, 0o711);
  return stateDir;
}

/** @throws Error when something of it does not come up; what is there by then is removed with `labPodDown` */
export async function startHostPod(options: HostPodOptions): Promise<HostPod> {
  const { stateDir, say } = options;
  const lab = await startLab(stateDir, say);
  const db = await connectRecord(lab);
  const control = await ControlPlane.connect(lab.pod.runDir);
  const work = await TinyApp.make(mkdtempSync(join(stateDir, "app-")));
  await work.commit("one");
  const lone = await makeApp(lab, "lone");
  const pair = await makeApp(lab, "pair");
  const pod = new HostPod({ ...options, lab, db, control, apps: { lone, pair } });
  for (const app of [lone, pair]) {
    const pushed = await work.push(app.gitUrl, lab.pod.adminToken);
    if (!pushed.ok) throw new Error(`the push of ${app.name} failed: ${pushed.output}`);
  }
  // One replica on each host brings the image there.
  for (const app of ["lone", "pair"] as const) await pod.scale(app, hostsCount);
  await pod.rest();
  await pod.reset();
  return pod;
}

async function startLab(stateDir: string, say: (line: string) => void): Promise<LabPod> {
  // A kept pod has its ports written down.
  const kept = (await readPodFile(stateDir)) !== null;
  const ports = kept ? {} : { postgresPort: await freePort(), natsMonitorPort: await freePort() };
  const agent = { BERTH_AGENT_MEMORY_BYTES: String(hostMemoryBytes) };
  // Requests of the tiny apps are short.
  const scheduler = { BERTH_CRASH_FILE: crashFile(stateDir, "scheduler"), BERTH_DRAIN_MS: "2000" };
  return await labPodUp({
    ...{ hosts: hostsCount, stateDir, index, cacheDir: join(tmpdir(), "berth-lab-cache") },
    // The app needs no base image.
    settings: { ...ports, stackImage: false, serviceEnv: { agent, scheduler } },
    environment: {},
    progress: say,
    writeCredentials: false,
  });
}

async function connectRecord(lab: LabPod): Promise<pg.Pool> {
  const processes = await readProcesses(lab.pod.runDir);
  const url = processes.find(({ name }) => name === "scheduler")?.env.BERTH_DATABASE_URL;
  const times = { connectionTimeoutMillis: 5000, query_timeout: 5000 };
  const db = new pg.Pool({ connectionString: url, max: 4, ...times });
  db.on("error", () => undefined); // PostgreSQL is killed on purpose
  return db;
}

async function makeApp({ pod }: LabPod, name: AppName): Promise<App> {
  const api = { apiUrl: pod.apiUrl, token: pod.adminToken };
  return { ...(await ensureService(api, { ...environment, service: name })), name };
}
