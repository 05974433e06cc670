/**
 * Tells every host its whole desired set: on change, and every few seconds anyway (constant work).
 *
 * What must stay true: a set is called whole only by `core/desired-set.ts`.
 */
import { HostDesired } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { desiredJobs, findStrangers, type HostReport, heldLater, isWhole } from "../core/desired-set.ts";
import type { Snapshot } from "./snapshot.ts";

const REPEAT_EVERY_MS = 4000;

export class DesiredSets {
  readonly #bus: Bus;
  readonly #log: Log;
  readonly #sent = new Map<HostId, { content: string; atMs: number }>();
  readonly #reports = new Map<HostId, HostReport>();
  #revision = 0;

  constructor(given: { bus: Bus; log: Log }) {
    this.#bus = given.bus;
    this.#log = given.log;
  }

  /** Takes a host's own list; one that came out of order is dropped. */
  report(hostId: HostId, report: HostReport): void {
    if (report.atMs >= (this.#reports.get(hostId)?.atMs ?? 0)) this.#reports.set(hostId, report);
  }

  /** Every job that hosts reported: a snapshot tells which of them the record knows. */
  reported(): string[] {
    return [...this.#reports.values()].flatMap(({ jobs }) => jobs.map(({ jobId }) => jobId));
  }

  /** Jobs of the snapshot that must not be auctioned: a host holds a later epoch of them. */
  heldLater(snapshot: Snapshot): ReadonlySet<string> {
    return heldLater(this.#reports.values(), snapshot.reported);
  }

  #isWhole(hostId: HostId, known: ReadonlyMap<string, number>, nowMs: number): boolean {
    const report = this.#reports.get(hostId);
    const strangers = findStrangers(report?.jobs ?? [], known);
    if (strangers.size > 0)
      this.#log.error("host.unknown-jobs", {
        hostId,
        jobs: [...strangers].slice(0, 10),
        next: "the record may be older than the hosts; nothing is stopped",
      });
    return isWhole(report, known, nowMs);
  }

  send(snapshot: Snapshot, leaderEpoch: number): void {
    const nowMs = Date.now();
    for (const host of snapshot.hosts) {
      const jobs = desiredJobs(snapshot.jobs, host.id);
      const whole = this.#isWhole(host.id, snapshot.reported, nowMs);
      const content = JSON.stringify([whole, jobs]);
      const last = this.#sent.get(host.id);
      if (last !== undefined && last.content === content && nowMs - last.atMs < REPEAT_EVERY_MS) continue;
      this.#sent.set(host.id, { content, atMs: nowMs });
      this.#revision += 1;
      this.#bus.signal(HostDesired, {
        hostId: host.id,
        leaderEpoch,
        revision: this.#revision,
        whole,
        madeAtMs: snapshot.readAtMs,
        jobs,
      });
    }
  }
}
