/**
 * Tells the control plane what was seen: the newest observation per job, repeated until the bus took it.
 *
 * Observations are levels: while one is under way, a newer one of the same job replaces what waits. The steps between
 * accepted and ready are told gathered; what somebody waits for is told at once.
 */
import { JobObserved, type ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { isFinal, type JobState } from "@berth/shared/domain/job-state.ts";
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

const GATHER_MS = 250;

interface Told {
  readonly state: JobState;
  readonly ready: boolean;
  readonly reasonCode: string | null;
}

/** Only that a step follows the one before is worth no message of its own, nor that a sleeper is about to wake. */
export function isUrgent(job: ObservedJob, told: Told | undefined): boolean {
  const isResting = (job.state === "asleep" || job.state === "frozen") && told?.state === job.state;
  const isBetween = job.state === "preparing" || job.state === "starting" || isResting;
  return !isBetween || job.ready !== (told?.ready ?? false) || job.reasonCode !== (told?.reasonCode ?? null);
}

export class Reporter {
  readonly #given: ReporterGiven;
  readonly #told = new Map<string, Told>();
  readonly #gathering = new Map<string, AbortController>();
  readonly #waiting = new Map<string, ObservedJob>();
  readonly #pumping = new Set<string>();
  readonly #abort = new AbortController();

  constructor(given: ReporterGiven) {
    this.#given = given;
  }

  report(job: ObservedJob): void {
    this.#waiting.set(job.jobId, job);
    if (isUrgent(job, this.#told.get(job.jobId))) this.#gathering.get(job.jobId)?.abort();
    if (!this.#pumping.has(job.jobId)) void this.#pump(job.jobId);
  }

  async #pump(jobId: string): Promise<void> {
    this.#pumping.add(jobId);
    let pauseMs = 100;
    for (
      let job = await this.#next(jobId);
      job !== undefined && !this.#abort.signal.aborted;
      job = await this.#next(jobId)
    ) {
      try {
        await this.#given.emit(JobObserved, {
          hostId: this.#given.hostId,
          atMs: this.#given.clock.nowMs(),
          job,
        });
        if (this.#waiting.get(jobId) === job) this.#waiting.delete(jobId);
        pauseMs = 100;
        this.#noteTold(job);
        this.#given.acknowledged(job);
      } catch {
        // The bus is away or its stream full: the same level is told again, it cannot get lost here.
        await sleep(pauseMs, this.#abort.signal);
        pauseMs = Math.min(5000, pauseMs * 2);
      }
    }
    this.#pumping.delete(jobId);
  }

  #noteTold({ jobId, state, ready, reasonCode }: ObservedJob): void {
    if (isFinal(state)) this.#told.delete(jobId);
    else this.#told.set(jobId, { state, ready, reasonCode });
  }

  /** The newest that waits, after a while when nobody waits for it. */
  async #next(jobId: string): Promise<ObservedJob | undefined> {
    const job = this.#waiting.get(jobId);
    if (job === undefined || isUrgent(job, this.#told.get(jobId))) return job;
    const gathering = new AbortController();
    this.#gathering.set(jobId, gathering);
    await sleep(GATHER_MS, AbortSignal.any([gathering.signal, this.#abort.signal]));
    this.#gathering.delete(jobId);
    return this.#waiting.get(jobId);
  }

  close(): void {
    this.#abort.abort();
  }
}
