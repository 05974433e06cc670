/**
 * The rest of the control plane, as far as the scheduler and the agents feel it: the stream that carries
 * observations, the secrets service that answers `accepted`, and the router that waits for every edge.
 */
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import type { SaidBeat } from "./messages.ts";
import { Endpoint } from "./network.ts";
import type { Process } from "./process.ts";
import type { SimHost } from "./sim-host.ts";
import type { World } from "./world.ts";

const TABLES_EVERY_MS = 500;
const REDELIVER_MS = 2000;

export class SimPlane {
  readonly process: Process;
  readonly endpoint: Endpoint;
  readonly #world: () => World;
  readonly #acked = new Map<HostId, number>();

  constructor(process: Process, world: () => World) {
    this.process = process;
    this.endpoint = new Endpoint(process);
    this.#world = world;
  }

  start(): void {
    this.process.start();
    this.process.every(TABLES_EVERY_MS, () => this.#route());
  }

  /** The bus has the observation: secrets hears it, and one scheduler, at least once, unless the store is wiped. */
  observed(host: SimHost, seen: ObservedJob): void {
    const { weather, rng } = this.#world();
    if (weather.wipedStream > 0 && rng.chance(weather.wipedStream)) return;
    this.#deliver(host, seen, 10);
    if (weather.twice > 0 && rng.chance(weather.twice)) this.#deliver(host, seen, 10);
    if (seen.state === "accepted") this.#seal(host, seen);
  }

  #deliver(host: SimHost, seen: ObservedJob, tries: number): void {
    const { timeline, schedulers, rng, weather } = this.#world();
    const lateMs = rng.chance(weather.late) ? rng.between(50, weather.lateMs) : rng.between(1, 4);
    timeline.after(lateMs, () => {
      const able = schedulers.filter(({ process, endpoint }) => process.up && !endpoint.inCut);
      if (able.length > 0) rng.pick(able).observed(host.id, seen);
      else if (tries > 0) timeline.after(REDELIVER_MS, () => this.#deliver(host, seen, tries - 1));
    });
  }

  /** The secrets service: checks the award in the record, then sends the sealed envelope to the winner. */
  #seal(host: SimHost, seen: ObservedJob): void {
    const { store, network, timeline, rng } = this.#world();
    timeline.after(rng.between(2, 10), () => {
      if (store.down) return;
      const row = store.now.jobs.get(seen.jobId as JobId);
      if (row === undefined || row.hostId !== host.id || row.epoch !== seen.epoch || row.desired !== "run")
        return;
      network.send(this.endpoint, host.endpoint, () => host.deliver(seen.jobId, seen.epoch));
    });
  }

  #route(): void {
    const { store, hosts } = this.#world();
    if (store.down) return;
    const record = store.now;
    const wanted = new Set<JobId>();
    for (const row of record.jobs.values())
      if (row.rotation === "in" && row.state === "running" && row.ready && row.address !== null)
        wanted.add(row.id);
    const { routes } = record;
    if (!sameSet(wanted, routes.jobs))
      record.routes = { version: routes.version + 1, jobs: wanted, settled: false };
    else if (routes.settled) return;
    for (const host of hosts) this.#tell(host);
    this.#settle();
  }

  #tell(host: SimHost): void {
    const { network, store } = this.#world();
    const { version } = store.now.routes;
    if ((this.#acked.get(host.id) ?? 0) === version) return;
    network.send(this.endpoint, host.endpoint, () => {
      host.routesVersion = version;
      network.send(host.endpoint, this.endpoint, () => this.#ack(host.id, version));
    });
  }

  #ack(hostId: HostId, version: number): void {
    this.#acked.set(hostId, version);
    this.#settle();
  }

  heard(beat: SaidBeat): void {
    if (beat.form !== "same") this.#acked.set(beat.hostId, beat.routesVersion);
  }

  #settle(): void {
    const record = this.#world().store.now;
    if (record.routes.settled) return;
    for (const host of record.hosts.values())
      if (host.state !== "lost" && this.#acked.get(host.hostId) !== record.routes.version) return;
    record.routes = { ...record.routes, settled: true };
    for (const scheduler of this.#world().schedulers) scheduler.wake();
  }
}

function sameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((one) => b.has(one));
}
