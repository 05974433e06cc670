/** The leases of one simulated host: the agent's own rules on the model's clock, kept where the agent's file keeps them. */
import {
  type LeaseState,
  type Leases,
  leaseState,
  needsLease,
  renewLeases,
} from "../../services/agent/src/core/decide-leases.ts";
import type { DesiredSet } from "../../services/agent/src/core/decide-stops.ts";
import type { JobRecord } from "../../services/agent/src/core/job-record.ts";
import type { SimHost } from "./sim-host.ts";

export class SimLeases {
  readonly #host: SimHost;
  /** In a file that survives the agent, not the power. */
  #leases: Leases = new Map();
  #startedMs = 0;
  #states = new Map<string, LeaseState>();

  constructor(host: SimHost) {
    this.#host = host;
  }

  agentStarts(): void {
    this.#startedMs = this.#host.world.timeline.nowMs;
    this.#states = new Map();
  }

  powerCut(): void {
    this.#leases = new Map();
  }

  awarded({ spec }: JobRecord): void {
    if (spec.partition.singleWriter || !needsLease(spec.partition)) return;
    const fromMs = this.#host.world.timeline.nowMs;
    this.#leases = new Map([...this.#leases, [spec.jobId, { epoch: spec.epoch, fromMs }]]);
  }

  renew({ answersBeat, jobs }: DesiredSet): void {
    const { world, bootId } = this.#host;
    if (answersBeat === undefined || answersBeat.bootId !== bootId) return;
    const fromMs = world.on("lease-from-beat") ? answersBeat.monotonicMs : world.timeline.nowMs;
    this.#leases = renewLeases(this.#leases, jobs, fromMs, this.#host.records());
    this.look();
  }

  stateOf(record: JobRecord): LeaseState {
    const { world } = this.#host;
    const state = leaseState(record, this.#leases, this.#startedMs, world.timeline.nowMs);
    return state === "ended" && !world.on("single-writer-stop") ? "unsure" : state;
  }

  /** With the guard off a start does not ask for the lease; what runs is stopped at its end all the same. */
  forStep(record: JobRecord): LeaseState {
    const runs = this.#host.index.of(record.spec.jobId).some(({ state }) => state === "running");
    return runs || this.#host.world.on("single-writer-start") ? this.stateOf(record) : "held";
  }

  /** Wakes the jobs whose lease began or ended. */
  look(): void {
    for (const [jobId, worker] of this.#host.workers) {
      const state = this.stateOf(worker.record);
      if (this.#states.get(jobId) === state) continue;
      this.#states.set(jobId, state);
      worker.wakeable.wake();
    }
  }
}
