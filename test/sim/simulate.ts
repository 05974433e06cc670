/** One run of one plan: builds the pod, lets the faults happen, heals them, and waits for the desired set. */
import { isFinalDeploy } from "@berth/shared/domain/deploy-state.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { type ActState, carryOut, restart } from "./acts.ts";
import type { Guard } from "./guards.ts";
import { hostId, Ids, serviceId } from "./ids.ts";
import { type InvariantName, Invariants, Violation } from "./invariants.ts";
import { Network } from "./network.ts";
import { makePlan, type Plan } from "./plan.ts";
import { Process } from "./process.ts";
import { Rng } from "./rng.ts";
import { ServingWatch } from "./serving-watch.ts";
import { JOB_MEMORY_BYTES, SimHost } from "./sim-host.ts";
import { SimPlane } from "./sim-plane.ts";
import { SimScheduler } from "./sim-scheduler.ts";
import { Store } from "./store.ts";
import { Timeline } from "./timeline.ts";
import { CALM, type Weather, type World } from "./world.ts";

export interface TraceLine {
  readonly atMs: number;
  readonly about: string;
  readonly text: string;
}

export interface Outcome {
  readonly seed: number;
  readonly stepsCount: number;
  readonly simulatedMs: number;
  readonly violation: {
    readonly invariant: InvariantName;
    readonly text: string;
    readonly about: readonly string[];
    readonly atMs: number;
  } | null;
  readonly trace: readonly TraceLine[];
}

/** From the end of the faults until the pod must be as desired: lease, loss, back-off, a whole deploy, in this order. */
const CONVERGE_WITHIN_MS = 180_000;
const CHECK_EVERY_MS = 2000;
const STAYS_FOR_MS = 12_000;
const AFTER_RESTORE_MS = 40_000;

export function simulateSeed(seed: number, without: Guard | null = null): Outcome {
  return simulate(makePlan(seed, new Rng(seed)), without, false);
}

export function simulate(plan: Plan, without: Guard | null, traced: boolean): Outcome {
  const trace: TraceLine[] = [];
  const { world, startedAtMs } = buildWorld(plan, without, traced ? trace : null);
  let violation: Outcome["violation"] = null;
  try {
    run(world, plan, startedAtMs);
  } catch (error) {
    if (!(error instanceof Violation)) throw new Error(`seed ${plan.seed}`, { cause: error });
    const { invariant, message: text, about } = error;
    violation = { invariant, text, about, atMs: world.timeline.nowMs - startedAtMs };
  }
  const { stepsCount, nowMs } = world.timeline;
  return { seed: plan.seed, stepsCount, simulatedMs: nowMs - startedAtMs, violation, trace };
}

function buildWorld(plan: Plan, without: Guard | null, trace: TraceLine[] | null) {
  const timeline = new Timeline();
  const startedAtMs = timeline.nowMs;
  const rng = new Rng(plan.seed ^ 0x5bd1e995);
  const weather: Weather = { ...plan.weather };
  const invariants = new Invariants(() => world);
  const world: World = {
    timeline,
    rng,
    weather,
    invariants,
    ids: new Ids(),
    store: new Store(invariants),
    network: new Network(timeline, rng, weather),
    hosts: [],
    schedulers: [],
    plane: new SimPlane(new Process("plane", timeline), () => world),
    on: (guard) => guard !== without,
    trace:
      trace === null
        ? () => {}
        : (about, text) => trace.push({ atMs: timeline.nowMs - startedAtMs, about, text: text() }),
  };
  for (const [i, size] of plan.hostSizes.entries()) {
    const host = new SimHost(world, hostId(i + 1), size * JOB_MEMORY_BYTES);
    host.skewMs = plan.skewsMs[i] ?? 0;
    world.hosts.push(host);
  }
  for (const name of ["scheduler-a", "scheduler-b"]) world.schedulers.push(new SimScheduler(world, name));
  for (const [i, scale] of plan.scales.entries()) world.store.now.scale.set(serviceId(i), scale);
  for (const [i, policy] of plan.policies.entries()) world.store.now.policies.set(serviceId(i), policy);
  world.plane.start();
  for (const host of world.hosts) host.start();
  for (const scheduler of world.schedulers) scheduler.start();
  return { world, startedAtMs };
}

function run(world: World, plan: Plan, startedAtMs: number) {
  const { timeline } = world;
  const state: ActState = { versions: [], backups: [] };
  for (const { atMs, act } of plan.acts) timeline.after(atMs, () => carryOut(world, state, act));
  timeline.after(15_000, () => state.backups.push(world.store.copy()));
  const serving = new ServingWatch(world);
  const runTo = (atMs: number) => {
    while (timeline.step(startedAtMs + atMs)) serving.look();
  };
  runTo(plan.calmAtMs);
  heal(world);
  if (world.invariants.restored) return runTo(plan.calmAtMs + AFTER_RESTORE_MS);
  let asDesiredSinceMs: number | null = null;
  for (let atMs = plan.calmAtMs; ; atMs += CHECK_EVERY_MS) {
    runTo(atMs);
    const missing = whatIsMissing(world);
    if (missing !== null) asDesiredSinceMs = null;
    else asDesiredSinceMs ??= atMs;
    if (asDesiredSinceMs !== null && atMs - asDesiredSinceMs >= STAYS_FOR_MS) return;
    if (atMs > plan.calmAtMs + CONVERGE_WITHIN_MS)
      throw new Violation(
        "converges",
        missing ?? "not for long enough",
        missing?.match(/(job|hst|dep)_\w+/g) ?? [],
      );
  }
}

/** All faults end at once: what is down starts, what is cut is joined, what is lost stays lost. */
function heal(world: World): void {
  world.trace("fault", () => "all faults end");
  Object.assign(world.weather, CALM);
  world.store.down = false;
  for (const host of world.hosts) {
    host.ledger.full = false;
    host.engine.hangs = false;
    host.endpoint.inCut = false;
    host.endpoint.outCut = false;
    host.process.resume();
    host.ableAgain();
    restart(host);
  }
  for (const scheduler of world.schedulers) {
    scheduler.endpoint.inCut = false;
    scheduler.endpoint.outCut = false;
    scheduler.process.resume();
    if (!scheduler.process.up) scheduler.start();
  }
}

/** @returns the first thing that is not as desired, or null */
function whatIsMissing(world: World): string | null {
  const record = world.store.now;
  for (const deploy of record.deploys.values())
    if (!isFinalDeploy(deploy.state)) {
      const left = [...record.jobs.values()].filter(
        (row) => row.deployId === deploy.id && !isFinal(row.state),
      );
      const jobs = left.map((row) => `${row.id} e${row.epoch} ${row.state}/${row.desired} on ${row.hostId}`);
      return `${deploy.id} is still ${deploy.state}: ${jobs.join(", ")}`;
    }
  const wanted = new Set<string>();
  for (const [service, target] of record.current) {
    const deploy = record.deploys.get(record.releases.get(target)?.view.deployId as never);
    if (deploy === undefined) return `${target} has no deploy`;
    const serving = record.serving.get(service);
    if (deploy.state === "succeeded" && serving !== target)
      return `${service} serves ${serving}, not ${target}`;
    if (serving === undefined) continue;
    for (let slot = 1; slot <= (record.scale.get(service) ?? 1); slot++) wanted.add(`${serving}.${slot}`);
  }
  const have = new Set<string>();
  for (const row of record.jobs.values()) {
    if (isFinal(row.state)) continue;
    const slot = `${row.releaseId}.${row.slot}`;
    if (!wanted.has(slot) || row.desired !== "run") return `${row.id} (${slot}) is still ${row.state}`;
    if (row.state !== "running" || !row.ready || row.rotation !== "in") return `${row.id} is ${row.state}`;
    have.add(slot);
  }
  for (const slot of wanted) if (!have.has(slot)) return `${slot} has no job`;
  return whatIsOnHosts(world);
}

function whatIsOnHosts(world: World): string | null {
  const { jobs, routes } = world.store.now;
  const live = [...jobs.values()].filter(({ state }) => !isFinal(state));
  for (const row of live) {
    const host = world.hosts.find(({ id }) => id === row.hostId);
    const running = [...(host?.engine.containers.values() ?? [])].filter(
      (one) => one.jobId === row.id && one.state === "running",
    );
    if (running.length !== 1) return `${row.id} has ${running.length} containers on ${row.hostId}`;
    if (!routes.settled || !routes.jobs.has(row.id)) return `${row.id} is not routed`;
  }
  const ids = new Set<string>(live.map(({ id }) => id));
  for (const host of world.hosts) {
    for (const one of host.engine.containers.values())
      if (!ids.has(one.jobId)) return `${one.id} is an orphan on ${host.id} (${one.state}, ${one.jobId})`;
    for (const jobId of host.ledger.records.keys())
      if (!ids.has(jobId)) return `${jobId} is still in the ledger of ${host.id}`;
  }
  return null;
}
