/** Carries out one planned act, and undoes it when its time is over. */
import type { Rollout } from "@berth/shared/domain/rollout.ts";
import { deployId, releaseId, serviceId } from "./ids.ts";
import type { Endpoint } from "./network.ts";
import type { Act, Way } from "./plan.ts";
import { JOB_MEMORY_BYTES, type SimHost } from "./sim-host.ts";
import { emptyRecord, type PodRecord } from "./store.ts";
import type { World } from "./world.ts";

export interface ActState {
  readonly versions: number[];
  readonly backups: PodRecord[];
}

export function carryOut(world: World, state: ActState, act: Act) {
  world.trace("fault", () => describeAct(act));
  const { timeline, hosts, schedulers, store } = world;
  const later = (ms: number, run: () => void) => timeline.after(ms, run);
  switch (act.kind) {
    case "deploy":
      return deploy(world, state, act.service, act.quality);
    case "scale":
      if (!store.down) store.now.scale.set(serviceId(act.service), act.scale);
      return;
    case "cancel":
      if (!store.down) store.now.cancels.add(deployId(act.service, state.versions[act.service] ?? 0));
      return;
    case "rebalance":
      if (!store.down) store.now.rebalancing = true;
      return;
    case "agent-crash":
      return withHost(hosts, act.host, (host) => {
        host.process.crash();
        later(act.forMs, () => restart(host));
      });
    case "agent-pause":
      return withHost(hosts, act.host, (host) => {
        host.process.pause();
        later(act.forMs, () => {
          host.process.resume();
          host.ableAgain();
        });
      });
    case "power-cut":
      return withHost(hosts, act.host, (host) => {
        if (!host.powered) return;
        host.powerCut();
        later(act.forMs, () => restart(host));
      });
    case "cut":
      for (const one of act.hosts)
        withHost(hosts, one, (host) => cut(world, host.endpoint, act.way, act.forMs));
      return;
    case "scheduler-crash":
      schedulers[act.scheduler]?.process.crash();
      return later(act.forMs, () => {
        const scheduler = schedulers[act.scheduler];
        if (scheduler !== undefined && !scheduler.process.up) scheduler.start();
      });
    case "scheduler-pause":
      schedulers[act.scheduler]?.process.pause();
      return later(act.forMs, () => schedulers[act.scheduler]?.process.resume());
    case "scheduler-cut": {
      const scheduler = schedulers[act.scheduler];
      if (scheduler !== undefined) cut(world, scheduler.endpoint, act.way, act.forMs);
      return;
    }
    case "record-down":
      store.down = true;
      return later(act.forMs, () => {
        store.down = false;
      });
    case "restore":
      world.invariants.restored = true;
      store.restore(restored(store.now, state, act.what));
      return;
    case "disk-full":
      return withHost(hosts, act.host, (host) => {
        host.ledger.full = true;
        later(act.forMs, () => {
          host.ledger.full = false;
        });
      });
    case "engine-hangs":
      return withHost(hosts, act.host, (host) => {
        host.engine.hangs = true;
        later(act.forMs, () => {
          host.engine.hangs = false;
          host.ableAgain();
        });
      });
    case "container-crash":
      return withHost(hosts, act.host, (host) => {
        const running = [...host.engine.containers.values()].find(({ state: now }) => now === "running");
        if (running !== undefined) host.engine.kill(running.id);
      });
    case "ledger-damage":
      return withHost(hosts, act.host, (host) => damage(world, host));
  }
}

export function restart(host: SimHost): void {
  if (!host.powered) host.powerOn();
  else if (!host.process.up) host.start();
}

function withHost(hosts: readonly SimHost[], index: number, run: (host: SimHost) => void): void {
  const host = hosts[index];
  if (host !== undefined) run(host);
}

function cut(world: World, endpoint: Endpoint, way: Way, forMs: number): void {
  if (way !== "in") endpoint.outCut = true;
  if (way !== "out") endpoint.inCut = true;
  world.timeline.after(forMs, () => {
    endpoint.outCut = false;
    endpoint.inCut = false;
  });
}

function restored(now: PodRecord, state: ActState, what: "backup" | "empty" | "no-jobs"): PodRecord {
  if (what === "empty") return emptyRecord();
  if (what === "no-jobs") return { ...now, jobs: new Map() };
  return state.backups[0] ?? emptyRecord();
}

/** A file of the ledger cannot be read any more: the agent comes back without that job, its container runs on. */
function damage(world: World, host: SimHost): void {
  const jobId = host.ledger.records.keys().next().value;
  if (jobId === undefined || !host.powered) return;
  host.process.crash();
  host.ledger.records.delete(jobId);
  world.invariants.ledgerDamaged(host, jobId);
  world.timeline.after(500, () => restart(host));
}

function deploy(
  world: World,
  state: ActState,
  service: number,
  quality: "good" | "crashes" | "never-listens",
): void {
  const { store } = world;
  if (store.down) return;
  const version = (state.versions[service] ?? 0) + 1;
  state.versions[service] = version;
  const id = releaseId(service, version);
  const view = {
    id,
    version,
    deployId: deployId(service, version),
    processes: new Set(["web"]),
    rollouts: pacedEach(version),
  };
  const release = { view, serviceId: serviceId(service), memoryBytes: JOB_MEMORY_BYTES, quality };
  store.now.releases.set(id, release);
  store.now.current.set(serviceId(service), id);
  world.invariants.addRelease(release);
}

export function describeAct(act: Act): string {
  const { kind, ...rest } = act;
  const words = Object.entries(rest).map(
    ([name, value]) => `${name}=${Array.isArray(value) ? value.join("+") : value}`,
  );
  return [kind, ...words].join(" ");
}

/** Every third release takes over slot by slot, every sixth with a canary first. */
function pacedEach(version: number): ReadonlyMap<string, Rollout> {
  if (version % 3 !== 0) return new Map();
  const canary = version % 6 === 0 ? 1 : null;
  return new Map([["web", { canary, batch: 1, minReadyMs: null }]]);
}
