/**
 * Tells the control plane what was seen: the newest observation per job, repeated until the bus took it.
 *
 * Observations are levels: while one is under way, a newer one of the same job replaces what waits.
 */
import { JobObserved, type ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import { sleep } from "@berth/shared/kit/clock.ts";

export interface ReporterGiven {
  readonly hostId: HostId;
  readonly clock: Clock;
  readonly emit: (
    event: typeof JobObserved,
    payload: { hostId: HostId; atMs: number; job: ObservedJob },
  ) => Promise<void>;
  readonly acknowledged: (job: ObservedJob) => void;
}

export class Reporter {
  readonly #given: ReporterGiven;
  readonly #waiting = new Map<string, ObservedJob>();
  readonly #pumping = new Set<string>();
  readonly #abort = new AbortController();

  constructor(given: ReporterGiven) {
    this.#given = given;
  }

  report(job: ObservedJob): void {
    this.#waiting.set(job.jobId, job);
    if (!this.#pumping.has(job.jobId)) void this.#pump(job.jobId);
  }

  async #pump(jobId: string): Promise<void> {
    this.#pumping.add(jobId);
    let pauseMs = 100;
    for (
      let job = this.#waiting.get(jobId);
      job !== undefined && !this.#abort.signal.aborted;
      job = this.#waiting.get(jobId)
    ) {
      try {
        await this.#given.emit(JobObserved, {
          hostId: this.#given.hostId,
          atMs: this.#given.clock.nowMs(),
          job,
        });
        if (this.#waiting.get(jobId) === job) this.#waiting.delete(jobId);
        pauseMs = 100;
        this.#given.acknowledged(job);
      } catch {
        // The bus is away or its stream full: the same level is told again, it cannot get lost here.
        await sleep(pauseMs, this.#abort.signal);
        pauseMs = Math.min(5000, pauseMs * 2);
      }
    }
    this.#pumping.delete(jobId);
  }

  close(): void {
    this.#abort.abort();
  }
}
