/**
 * Carries a recovery's plan out and keeps its report: what was found, what was done, when all was ready again.
 *
 * The jobs do not wait for it: what cannot be removed is told and left.
 */
import type { HostRecovery } from "@berth/shared/contracts/host.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { JobRecord } from "../core/job-record.ts";
import { boundProblems, type RecoveryPlan, type RecoveryStep } from "../core/plan-recovery.ts";
import type { Engine } from "../outbound/docker.ts";
import type { Ledger } from "../outbound/ledger.ts";
import type { RecoveryFile } from "../outbound/recovery-file.ts";
import type { SecretsFolder } from "../outbound/secrets-folder.ts";

export interface RecoveryGiven {
  readonly engine: Pick<Engine, "remove" | "removeNetwork">;
  readonly secrets: Pick<SecretsFolder, "wipe">;
  readonly ledger: Pick<Ledger, "removeTorn">;
  readonly file: Pick<RecoveryFile, "save">;
  readonly bootId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Monotonic, of the agent's start. */
  readonly beganMs: number;
}

export class Recovery {
  readonly #given: RecoveryGiven;
  readonly #awaited: Set<string>;
  #report: HostRecovery;

  constructor(given: RecoveryGiven, plan: RecoveryPlan) {
    this.#given = given;
    this.#report = plan.report;
    this.#awaited = new Set(plan.awaited);
    this.#noteIfAllReady();
  }

  get report(): HostRecovery {
    return this.#report;
  }

  async carryOut(steps: readonly RecoveryStep[]): Promise<void> {
    const outcomes = await Promise.all(steps.map((step) => this.#tryStep(step)));
    const failures = outcomes.filter((problem) => problem !== null);
    const problems = boundProblems([...failures, ...this.#report.problems]);
    this.#change({ removed: steps.length - failures.length, problems });
    const { log, bootId } = this.#given;
    const level = problems.length > 0 ? "warn" : "info";
    log[level]("agent.recovered", { ...this.#report, bootId, steps: steps.slice(0, 50) });
  }

  /** @returns what is wrong when the step failed */
  async #tryStep(step: RecoveryStep): Promise<string | null> {
    const { engine, secrets, ledger } = this.#given;
    try {
      switch (step.kind) {
        case "remove-container":
          await engine.remove(step.containerId);
          return null;
        case "remove-network":
          await engine.removeNetwork(step.name);
          return null;
        case "wipe-secrets":
          await secrets.wipe(step.jobId);
          return null;
        case "remove-file":
          await ledger.removeTorn(step.name);
          return null;
      }
    } catch (error) {
      this.#given.log.warn("recovery.step-failed", { step, error: describeError(error) });
      const what =
        step.kind === "remove-container" ? `container ${step.containerId.slice(0, 12)}` : step.kind;
      return `${what}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Every record that changes comes by here. */
  noteRecord(record: JobRecord): void {
    const { jobId } = record.spec;
    if (!this.#awaited.has(jobId)) return;
    const isOver = record.ready || record.stopWanted || record.sleep !== null || isFinal(record.state);
    if (isOver && this.#awaited.delete(jobId)) this.#noteIfAllReady();
  }

  #noteIfAllReady(): void {
    if (this.#awaited.size > 0 || this.#report.readyAfterMs !== null) return;
    const readyAfterMs = Math.round(this.#given.clock.monotonicMs() - this.#given.beganMs);
    this.#given.log.info("agent.all-ready-again", { readyAfterMs, jobs: this.#report.jobs });
    this.#change({ readyAfterMs });
  }

  #change(patch: Partial<HostRecovery>): void {
    const { file, bootId, log } = this.#given;
    this.#report = { ...this.#report, ...patch };
    file
      .save(bootId, this.#report)
      .catch((error: unknown) => log.warn("recovery.not-stored", { error: describeError(error) }));
  }
}
