/**
 * Tells every host its whole desired set: on change, and every few seconds anyway (constant work).
 *
 * What must stay true: a set is called whole only when every job that the host reported is known to the record. A
 * host that holds jobs which PostgreSQL never heard of means that the record was lost or restored; then nothing stops.
 */
import { HostDesired } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { desiredJobs } from "../core/desired-set.ts";
import type { Snapshot } from "./snapshot.ts";

const REPEAT_EVERY_MS = 4000;

export class DesiredSets {
  readonly #bus: Bus;
  readonly #log: Log;
  readonly #sent = new Map<HostId, { content: string; atMs: number }>();
  readonly #strangers = new Map<HostId, ReadonlySet<string>>();
  #revision = 0;

  constructor(given: { bus: Bus; log: Log }) {
    this.#bus = given.bus;
    this.#log = given.log;
  }

  /** Jobs that a host reported and the record does not know. */
  reportStrangers(hostId: HostId, jobIds: ReadonlySet<string>): void {
    if (jobIds.size > 0)
      this.#log.error("host.unknown-jobs", {
        hostId,
        jobs: [...jobIds].slice(0, 10),
        next: "the record may be older than the hosts; nothing is stopped",
      });
    this.#strangers.set(hostId, jobIds);
  }

  send(snapshot: Snapshot, leaderEpoch: number): void {
    for (const host of snapshot.hosts) {
      const jobs = desiredJobs(snapshot.jobs, host.id);
      const whole = (this.#strangers.get(host.id)?.size ?? 0) === 0;
      const content = JSON.stringify([whole, jobs]);
      const last = this.#sent.get(host.id);
      const nowMs = Date.now();
      if (last !== undefined && last.content === content && nowMs - last.atMs < REPEAT_EVERY_MS) continue;
      this.#sent.set(host.id, { content, atMs: nowMs });
      this.#revision += 1;
      this.#bus.signal(HostDesired, { hostId: host.id, leaderEpoch, revision: this.#revision, whole, jobs });
    }
  }
}
