/** One job on one simulated host: the real record and `nextStep`; here is only what the world does with a step. */
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { Exit, JobRecord } from "../../services/agent/src/core/job-record.ts";
import * as job from "../../services/agent/src/core/job-record.ts";
import { nextStep, type Step } from "../../services/agent/src/core/next-step.ts";
import { EngineFault } from "./engine.ts";
import { type Routine, Wakeable } from "./process.ts";
import type { SimHost } from "./sim-host.ts";

export class SimWorker {
  readonly host: SimHost;
  record: JobRecord;
  secretsWritten: boolean;
  imagePresent = false;
  killedForDeadline: string | null = null;
  closed = false;
  ended = false;
  readonly wakeable = new Wakeable();
  readonly whenEnded = new Wakeable();

  constructor(host: SimHost, record: JobRecord, secretsWritten: boolean) {
    this.host = host;
    this.record = record;
    this.secretsWritten = secretsWritten;
    host.report(record);
    host.process.spawn(this.#loop(), () => {
      this.ended = true;
      this.whenEnded.wake();
    });
  }

  get jobId(): string {
    return this.record.spec.jobId;
  }

  close(): void {
    this.closed = true;
    this.wakeable.wake();
  }

  /** Replaces the record; the ledger has it a moment later. Awaited only where the disk must have it first. */
  apply(record: JobRecord): void {
    if (this.closed) return;
    this.#take(record);
    this.host.process.spawn(this.#save(record));
  }

  *applySaved(record: JobRecord): Routine {
    if (this.closed) return;
    this.#take(record);
    yield* this.#save(record);
  }

  #take(record: JobRecord): void {
    const changed = record.sequence !== this.record.sequence;
    if (record.state !== this.record.state)
      this.host.note(record.spec.jobId, () => `e${record.spec.epoch} ${this.record.state} → ${record.state}`);
    this.record = record;
    if (changed && !isFinal(record.state)) this.host.report(record);
  }

  *#save(record: JobRecord): Routine {
    const saved = yield* this.host.ledger.save(record);
    if (saved && isFinal(record.state) && !this.closed) this.host.report(record);
  }

  *#loop(): Routine {
    let last = "";
    let same = 0;
    let failures = 0;
    while (!this.closed) {
      const step = nextStep(this.record, {
        nowMs: this.host.clockMs(),
        bootId: this.host.bootId,
        containers: this.host.index.of(this.jobId),
        imagePresent: this.imagePresent,
        secretsWritten: this.secretsWritten,
        lease: this.host.leases.forStep(this.record),
      });
      if (step.kind === "forget") {
        this.closed = true;
        yield* this.host.ledger.forget(this.jobId);
        this.host.forgotten(this);
        return;
      }
      same = step.kind === last ? same + 1 : 0;
      last = step.kind;
      const waits = step.kind.startsWith("wa");
      if (same > 3 && !waits) yield { ms: Math.min(10_000, 50 * 2 ** Math.min(same, 8)), on: this.wakeable };
      if (!waits) this.host.note(this.jobId, () => describeStep(step));
      try {
        yield* this.#execute(step);
        failures = 0;
      } catch (error) {
        if (!(error instanceof EngineFault)) throw error;
        failures += 1;
        this.host.note(this.jobId, () => `${step.kind}: ${error.message}`);
        yield* this.#failed(step, error, failures);
      }
      this.#sweep();
    }
  }

  *#failed(step: Step, fault: EngineFault, failures: number): Routine {
    const ends = step.kind === "pull" || step.kind === "create" || step.kind === "start";
    if (fault.status !== null && ends) {
      this.imagePresent = false;
      const code = step.kind === "pull" ? "image-unavailable" : "start-failed";
      yield* this.applySaved(job.stepFailed(this.record, code, fault.message, this.host.clockMs()));
      return;
    }
    yield { ms: Math.min(10_000, 250 * 2 ** Math.min(failures, 6)), on: this.wakeable };
  }

  #sweep(): void {
    const { record, host } = this;
    if (isFinal(record.state) || record.stopWanted) return;
    for (const one of host.index.of(this.jobId)) {
      const over = one.epoch !== record.spec.epoch || one.attempt <= record.endedAttempt;
      if (over && one.state !== "running") host.sweepLater(this.jobId, one.id);
    }
  }

  *#execute(step: Step): Routine {
    const { host } = this;
    switch (step.kind) {
      case "wait-envelope":
        yield { ms: 2000, on: this.wakeable };
        if (this.record.envelope === null && !this.closed) host.report(this.record);
        return;
      case "pull":
        yield* host.engine.call(() => {});
        yield host.world.rng.between(10, 400);
        this.imagePresent = true;
        return;
      case "write-secrets":
        yield 1;
        this.secretsWritten = true;
        return;
      case "create":
        return yield* this.#create(step.attempt);
      case "start":
        yield* host.engine.call(() => host.engine.start(step.containerId));
        host.index.setState(this.jobId, step.containerId, "running");
        return yield* this.#noteStarted(step.containerId, step.attempt);
      case "watch-ready":
        return yield* this.#watchReady(step);
      case "watch":
        yield { ms: 5000, on: this.wakeable };
        return;
      case "note-exit":
        return yield* this.#noteExit(step.containerId, step.attempt);
      case "note-gone":
        return yield* this.applySaved(job.exited(this.record, step.attempt, GONE, host.clockMs()));
      case "note-reboot":
        this.secretsWritten = false;
        return yield* this.applySaved(job.rebooted(this.record, step.attempt, host.bootId));
      case "wait-until":
        yield { ms: Math.max(1, step.atMs - host.clockMs()), on: this.wakeable };
        return;
      case "stop":
        return yield* this.#stop(step.containerId);
      case "stop-for-lease":
        yield* this.#stop(step.containerId);
        return yield* this.applySaved(job.leaseEnded(this.record, step.attempt));
      case "wait-lease":
        yield { ms: 5000, on: this.wakeable };
        return;
      case "remove":
        for (const id of step.containerIds) {
          yield* host.engine.call(() => host.engine.remove(id));
          host.index.drop(this.jobId, id);
        }
        return;
      case "wipe-secrets":
        yield 1;
        this.secretsWritten = false;
        return;
      case "finish":
        return yield* this.applySaved(job.finished(this.record, null));
      case "wait-acknowledged":
        yield { ms: 5000, on: this.wakeable };
        if (this.record.acknowledged < this.record.sequence) host.report(this.record);
        return;
      case "wait-desired":
        yield { ms: 60_000, on: this.wakeable };
        return;
      case "forget":
    }
  }

  *#create(attempt: number): Routine {
    const { host, record } = this;
    const { jobId, epoch, resources } = record.spec;
    this.apply(job.attemptMade(record, attempt, host.bootId));
    const id = `${jobId}-e${epoch}-a${attempt}`;
    const container = {
      id,
      jobId,
      epoch,
      attempt,
      memoryBytes: resources.memoryBytes,
      quality: host.qualityOf(record.spec.releaseId),
      slot: { singleWriter: record.spec.partition.singleWriter, key: slotOf(record.spec) },
      state: "created" as const,
      startedAtMs: 0,
      readyAtMs: Number.POSITIVE_INFINITY,
      runCount: 0,
    };
    try {
      yield* host.engine.call(() => host.engine.create(container));
    } catch (error) {
      const mayExist = error instanceof EngineFault && (error.status === 409 || error.status === null);
      if (!mayExist || !(yield* host.engine.call(() => host.engine.containers.has(id)))) throw error;
    }
    host.index.put(jobId, { id, epoch, attempt, state: "created" });
  }

  *#noteStarted(id: string, attempt: number): Routine {
    const { host } = this;
    const seen = yield* host.engine.call(() => host.engine.containers.get(id));
    if (seen === undefined) return host.index.drop(this.jobId, id);
    host.index.setState(this.jobId, id, seen.state);
    if (seen.state !== "running") return;
    this.apply(job.started(this.record, attempt, `${host.id}/${id}`, seen.startedAtMs + host.skewMs));
  }

  *#watchReady(step: Extract<Step, { kind: "watch-ready" }>): Routine {
    const { host } = this;
    const { attempt, address } = this.record;
    if (address === null || attempt !== step.attempt)
      yield* this.#noteStarted(step.containerId, step.attempt);
    const runs = () =>
      !this.closed &&
      !this.record.stopWanted &&
      host.leases.stateOf(this.record) !== "ended" &&
      host.index.of(this.jobId).some(({ id, state }) => id === step.containerId && state === "running");
    while (runs()) {
      const container = host.engine.containers.get(step.containerId);
      const listens = container?.state === "running" && container.readyAtMs <= host.world.timeline.nowMs;
      if (listens && this.record.address !== null)
        return this.apply(job.becameReady(this.record, host.clockMs()));
      const leftMs = step.deadlineAtMs - host.clockMs();
      if (leftMs <= 0) {
        this.killedForDeadline = step.containerId;
        yield* host.engine.call(() => host.engine.kill(step.containerId));
        host.index.setState(this.jobId, step.containerId, "exited");
        return;
      }
      const readyInMs = (container?.readyAtMs ?? 0) - host.world.timeline.nowMs;
      yield { ms: Math.max(10, Math.min(leftMs, readyInMs, 3000)), on: this.wakeable };
    }
  }

  *#noteExit(id: string, attempt: number): Routine {
    const { host } = this;
    const seen = yield* host.engine.call(() => host.engine.containers.get(id));
    if (seen === undefined) return host.index.drop(this.jobId, id);
    host.index.setState(this.jobId, id, seen.state);
    if (seen.state !== "exited") return;
    const exit: Exit = { ...GONE, exitCode: 1, missedDeadline: this.killedForDeadline === id };
    yield* this.applySaved(job.exited(this.record, attempt, exit, host.clockMs()));
  }

  *#stop(id: string): Routine {
    const { host, record } = this;
    if (record.stopWanted && !isFinal(record.state)) this.apply(job.stopping(record));
    yield host.world.rng.between(5, 200);
    yield* host.engine.call(() => host.engine.kill(id));
    host.index.setState(this.jobId, id, "exited");
  }
}

function slotOf({ serviceId, process, slot }: JobRecord["spec"]): string {
  return `${serviceId} ${process}.${slot}`;
}

function describeStep(step: Step): string {
  const { kind, ...rest } = step;
  return [kind, ...Object.values(rest)].join(" ");
}

const GONE: Exit = { exitCode: null, outOfMemory: false, missedDeadline: false, lastLines: [] };
