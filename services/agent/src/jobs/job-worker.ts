/**
 * The life of one job on this host: look, decide the next step, carry it out, look again.
 *
 * The policy is `core/next-step.ts`; here are only the loop and the record. What must stay true: one step at a time
 * per job; every change is written to the ledger, and the final ones are on disk before anybody is told; an engine
 * that does not answer delays this job and no other.
 */

import type { Envelope } from "@berth/shared/contracts/secret.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { JobRecord, SealedEnvelope } from "../core/job-record.ts";
import * as job from "../core/job-record.ts";
import { type JobFacts, nextStep, type Step } from "../core/next-step.ts";
import { ordered, type SleepWord, wakened } from "../core/sleep-record.ts";
import { EngineError } from "../outbound/engine-call.ts";
import { executeStep } from "./execute-step.ts";
import type { JobsGiven } from "./given.ts";
import { MemoryWatch } from "./memory-watch.ts";

const MAX_PAUSE_MS = 10_000;
/** Leftovers of ended attempts stay this long, so that the log shipper reads their last lines. */
const LEFTOVER_MS = 1000;

export class JobWorker {
  readonly given: JobsGiven;
  readonly #closed = new AbortController();
  #record: JobRecord;
  #waiter = new AbortController();
  #secretsWritten: boolean;
  /** A new image may be pulled away under us, so this is only remembered within one attempt. */
  imagePresent = false;
  /** The clear envelope, from its delivery until its variables are in the job's tmpfs. */
  opened: Envelope | null = null;
  /** The container that was killed because it did not listen in time. */
  killedForDeadline: string | null = null;
  readonly memory = new MemoryWatch();
  /** When its newest sleep was ended here, by the wall clock; null once its wake was told. */
  wokenAtMs: number | null = null;
  /** Its turn among those that wait for a start: lower goes first. */
  readonly place: number;
  readonly #sweeping = new Set<string>();
  readonly done: Promise<void>;

  constructor(given: JobsGiven, record: JobRecord, secretsWritten: boolean, place: number) {
    this.given = given;
    this.place = place;
    this.#record = record;
    this.#secretsWritten = secretsWritten;
    given.report(record);
    this.done = this.#loop();
  }

  get record(): JobRecord {
    return this.#record;
  }

  get closed(): boolean {
    return this.#closed.signal.aborted;
  }

  get jobId(): string {
    return this.#record.spec.jobId;
  }

  /** Makes the worker look again soon. */
  readonly wake = (): void => {
    this.#waiter.abort();
  };

  /** Ends the loop after the step under way; containers stay as they are. */
  close(): void {
    this.#closed.abort();
    this.wake();
  }

  /** Waits until somebody wakes the worker, at most `ms`. */
  async pause(ms: number): Promise<void> {
    const waiter = this.#waiter;
    await sleep(ms, waiter.signal);
    if (waiter === this.#waiter) this.#waiter = new AbortController();
  }

  /** Replaces the record. Resolves at once; await `saved` where the disk must have it first. */
  apply(record: JobRecord): { readonly saved: Promise<void> } {
    // A closed worker may have been replaced by one of a higher epoch: the ledger is no longer its own.
    if (this.closed) return { saved: Promise.resolve() };
    const changed = record.sequence !== this.#record.sequence;
    this.#record = record;
    const saved = this.given.ledger.save(record);
    saved.catch((error: unknown) =>
      this.given.log.error("ledger.write-failed", { jobId: this.jobId, error: describeError(error) }),
    );
    if (!changed) return { saved };
    if (isFinal(record.state))
      void saved.then(
        () => this.given.report(record),
        () => {},
      );
    else this.given.report(record);
    return { saved };
  }

  async takeEnvelope(envelope: SealedEnvelope, opened: Envelope): Promise<void> {
    if (this.#record.envelope === null) {
      this.opened = opened;
      const { saved } = this.apply(job.envelopeTaken(this.#record, envelope, this.given.clock.nowMs()));
      this.wake();
      await saved;
    }
  }

  askStop(): void {
    if (this.#record.stopWanted) return;
    this.apply(job.stopAsked(this.#record));
    this.wake();
  }

  /** Takes what the desired set says of sleep; a change is on disk soon, and the worker looks at it at once. */
  orderSleep({ order, wokenEpoch }: SleepWord): void {
    if (this.#record.stopWanted || isFinal(this.#record.state)) return;
    this.#takeSleep(ordered(wakened(this.#record, wokenEpoch), order));
  }

  /** @returns true when the sleep of `epoch` is over here, or was */
  wakeFrom(epoch: number): boolean {
    if (this.#record.stopWanted || isFinal(this.#record.state)) return false;
    const before = this.#record.sleep;
    this.#takeSleep(wakened(this.#record, epoch));
    if (before !== this.#record.sleep) this.wokenAtMs = this.given.clock.nowMs();
    return true;
  }

  /** Says again how it is, as something new. */
  tellAgain(): void {
    this.apply(job.retold(this.#record));
  }

  #takeSleep(next: JobRecord): void {
    if (next === this.#record) return;
    this.apply(next);
    this.wake();
  }

  noteAcknowledged(sequence: number): void {
    const next = job.acknowledged(this.#record, sequence);
    if (next === this.#record) return;
    this.#record = next;
    if (isFinal(next.state)) this.wake();
  }

  setSecretsWritten(written: boolean): void {
    this.#secretsWritten = written;
  }

  #facts(): JobFacts {
    return {
      nowMs: this.given.clock.nowMs(),
      bootId: this.given.bootId,
      containers: this.given.index.of(this.jobId),
      imagePresent: this.imagePresent,
      secretsWritten: this.#secretsWritten,
      lease: this.given.leases.stateOf(this.#record),
    };
  }

  async #loop(): Promise<void> {
    let failures = 0;
    let last = "";
    let same = 0;
    while (!this.closed) {
      const step = nextStep(this.#record, this.#facts());
      if (step.kind === "forget") return this.#forget();
      // A step that changes nothing must not become a busy loop, whatever the engine says.
      const text = JSON.stringify(step);
      same = text === last ? same + 1 : 0;
      last = text;
      if (same > 3 && !isWait(step)) await this.pause(Math.min(MAX_PAUSE_MS, 50 * 2 ** Math.min(same, 8)));
      try {
        await executeStep(this, step);
        failures = 0;
      } catch (error) {
        failures += 1;
        await this.#stepFailed(step, error, failures);
      }
      this.#sweepLeftovers();
    }
  }

  async #stepFailed(step: Step, error: unknown, failures: number): Promise<void> {
    const { log, clock } = this.given;
    log.warn("job.step-failed", {
      jobId: this.jobId,
      step: step.kind,
      failures,
      error: describeError(error),
    });
    if (!(error instanceof EngineError)) {
      if (failures >= 5) log.error("job.step-keeps-failing", { jobId: this.jobId, step: step.kind });
    } else if (error.status !== null && ends(step)) {
      this.imagePresent = false;
      const code = step.kind === "pull" ? "image-unavailable" : "start-failed";
      await this.apply(job.stepFailed(this.#record, code, error.message, clock.nowMs())).saved;
      return;
    }
    await this.pause(Math.min(MAX_PAUSE_MS, 250 * 2 ** Math.min(failures, 6)));
  }

  /** Removes, behind the loop's back, what ended attempts of this epoch left. */
  #sweepLeftovers(): void {
    const record = this.#record;
    if (isFinal(record.state) || record.stopWanted) return;
    for (const { id, epoch, attempt, state } of this.given.index.of(this.jobId)) {
      const isOld = attempt <= record.endedAttempt || attempt < record.attempt;
      const over = epoch !== record.spec.epoch || isOld || state === "removing";
      if (!over || state === "running" || state === "paused" || this.#sweeping.has(id)) continue;
      this.#sweeping.add(id);
      void this.#sweep(id);
    }
  }

  async #sweep(id: string): Promise<void> {
    await sleep(LEFTOVER_MS);
    try {
      await this.given.engine.remove(id);
      this.given.index.drop(this.jobId, id);
    } catch (error) {
      this.given.log.warn("container.leftover", {
        jobId: this.jobId,
        containerId: id,
        error: describeError(error),
      });
      await sleep(MAX_PAUSE_MS, this.#closed.signal);
    }
    this.#sweeping.delete(id);
  }

  async #forget(): Promise<void> {
    this.#closed.abort();
    await this.given.ledger.forget(this.jobId);
    this.given.forgotten(this.jobId);
  }
}

function ends(step: Step): boolean {
  return step.kind === "pull" || step.kind === "create" || step.kind === "start";
}

function isWait(step: Step): boolean {
  return step.kind.startsWith("wait") || step.kind.startsWith("watch");
}
