/** A service in memory for tests of the planner: carries out steps as the executor does, and plays agents and edges. */
import { canStepDeploy, type DeployState, isFinalDeploy } from "@berth/shared/domain/deploy-state.ts";
import type { DeployId, HostId, JobId, ReleaseId, ServiceId, TaskId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { DEFAULT_PARTITION_POLICY, type PartitionPolicy } from "@berth/shared/domain/service-policy.ts";
import { expect } from "vitest";
import { planService } from "../core/plan-service.ts";
import { AWAKE, type SleepView } from "../core/plan-sleep.ts";
import type {
  DeployView,
  HostSight,
  JobView,
  PlanLimits,
  ReleaseView,
  ServiceView,
  Step,
  TaskView,
} from "../core/views.ts";

export const LIMITS: PlanLimits = { deployDeadlineMs: 60_000, unplaceableAfterMs: 10_000, drainMs: 1000 };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type Job = Mutable<JobView>;
export type Deploy = Mutable<DeployView>;
export type Task = Mutable<Omit<TaskView, "job">> & { job: Job };

export class PlannedService {
  nowMs = 1_000_000;
  releases: ReleaseView[] = [];
  target: ReleaseView | null = null;
  serving: ReleaseId | null = null;
  scale = 1;
  /** Wished for, of a process that only releases with workers have. */
  workers = 0;
  deleted = false;
  deploys: Deploy[] = [];
  jobs: Job[] = [];
  tasks: Task[] = [];
  cancelled = new Set<DeployId>();
  draining = new Set<HostId>();
  routed = new Set<JobId>();
  settled = true;
  /** Jobs whose hosts hear and say nothing. */
  unreachable = new Set<JobId>();
  hosts = new Map<HostId, Omit<HostSight, "frozen">>();
  frozen = false;
  policy: PartitionPolicy = DEFAULT_PARTITION_POLICY;
  sleep: SleepView = AWAKE;
  #next = 1;

  release(
    processes: readonly string[] = ["web"],
    rollouts: ReleaseView["rollouts"] = new Map(),
  ): ReleaseView {
    const n = this.#next++;
    const release = {
      id: `rel_${n}` as ReleaseId,
      version: n,
      deployId: `dep_${n}` as DeployId,
      processes: new Set(processes),
      rollouts,
    };
    this.releases.push(release);
    this.target = release;
    return release;
  }

  view(): ServiceView {
    return {
      serviceId: "svc_1" as ServiceId,
      deleted: this.deleted,
      target: this.target,
      targetDeployExists: this.deploys.some((deploy) => deploy.id === this.target?.deployId),
      serving: this.releases.find((release) => release.id === this.serving) ?? null,
      wishes: [
        { process: "web", scale: this.scale },
        { process: "worker", scale: this.workers },
      ],
      openDeploys: this.deploys.filter((deploy) => !isFinalDeploy(deploy.state)),
      jobs: this.jobs,
      tasks: this.tasks,
      cancelled: this.cancelled,
      drainingHosts: this.draining,
      hosts: new Map([...this.hosts].map(([id, host]) => [id, { ...host, frozen: this.frozen }])),
      policy: this.policy,
      progressDeadlineMs: null,
      routed: this.settled ? this.routed : null,
      sleep: this.sleep,
    };
  }

  /** Plans until nothing is left to do. */
  plan(): void {
    for (let i = 0; i < 20; i++) {
      const steps = planService(this.view(), this.nowMs, LIMITS);
      if (steps.length === 0) return;
      for (const step of steps) this.apply(step);
    }
    throw new Error("the plan does not come to rest");
  }

  apply(step: Step): void {
    const all = [...this.jobs, ...this.tasks.map((task) => task.job)];
    const job = "jobId" in step ? all.find((one) => one.id === step.jobId) : undefined;
    if (step.kind === "create-deploy") {
      this.deploys.push({
        id: step.release.deployId,
        releaseId: step.release.id,
        state: "planned",
        createdAtMs: this.nowMs,
        stateSinceMs: this.nowMs,
        reasonCode: null,
        reason: null,
      });
    } else if (step.kind === "create-task") this.#createTask(step.release);
    else if (step.kind === "end-task") this.#endTask(step);
    else if (step.kind === "create-job") this.#createJob(step.release, step.process, step.slot);
    else if (step.kind === "set-serving") this.serving = step.releaseId;
    else if (step.kind === "set-rotation" && job !== undefined) {
      job.rotation = step.rotation;
      job.rotationSinceMs = this.nowMs;
      this.settled = false;
    } else if (step.kind === "leave-host" && job !== undefined) {
      job.leaving = true;
    } else if (step.kind === "send-away" && job !== undefined) {
      job.away = true;
    } else if (step.kind === "take-back" && job !== undefined) {
      Object.assign(job, { away: false, leaving: false });
    } else if (step.kind === "stop-job" && job !== undefined) {
      job.desired = "stop";
      job.ready = false;
      if (job.state === "requested") job.state = "finished";
    } else if (step.kind === "step-sleep") this.#stepSleep(step);
    else if (step.kind === "step-deploy")
      this.#stepDeploy(step.deployId, step.to, step.reasonCode, step.reason);
  }

  #stepSleep({ from, to, level, cause }: Extract<Step, { kind: "step-sleep" }>): void {
    const epoch = from.state === "awake" && to === "falling" ? from.epoch + 1 : from.epoch;
    const sinceMs = from.state === to ? this.sleep.sinceMs : this.nowMs;
    this.sleep = { ...this.sleep, state: to, epoch, level, cause, sinceMs, order: null, held: false };
    const live = this.jobs.filter((job) => job.desired === "run" && !isFinal(job.state));
    for (const job of live) {
      job.wokenEpoch = to === "awake" || to === "waking" ? epoch : epoch - 1;
      job.sleep = to === "asleep" ? { epoch, level } : null;
      if (to === "asleep") job.ready = false;
    }
  }

  #createJob(release: ReleaseView, process: string, slot: number): void {
    const double = this.jobs.find(
      (job) =>
        job.releaseId === release.id &&
        job.process === process &&
        job.slot === slot &&
        !isFinal(job.state) &&
        job.state !== "lost" &&
        !job.leaving &&
        !job.away &&
        job.desired === "run",
    );
    expect(double, "two live jobs of one slot").toBeUndefined();
    this.jobs.push(this.#newJob(release, process, slot));
  }

  #createTask(release: ReleaseView): void {
    const open = this.tasks.filter(({ state, job }) => state === "running" && !isFinal(job.state));
    expect(open, "two release phases at once").toEqual([]);
    this.tasks.push({
      ...{
        id: `tsk_${this.#next++}` as TaskId,
        kind: "release",
        deployId: release.deployId,
        state: "running",
      },
      ...{ reasonCode: null, reason: null, lastLines: [], endedAtMs: null, cancelled: false },
      ...{ createdAtMs: this.nowMs, deadlineMs: 30_000 },
      job: this.#newJob(release, "release", this.tasks.length + 1),
    });
  }

  #endTask({ taskId, to, reasonCode, reason }: Extract<Step, { kind: "end-task" }>): void {
    const task = this.tasks.find(({ id }) => id === taskId);
    if (task === undefined) throw new Error(`no task ${taskId}`);
    expect(task.state).toBe("running");
    Object.assign(task, { state: to, reasonCode, reason, endedAtMs: this.nowMs });
  }

  #newJob(release: ReleaseView, process: string, slot: number): Job {
    return {
      id: `job_${this.#next++}` as JobId,
      releaseId: release.id,
      deployId: release.deployId,
      process,
      slot,
      state: "requested",
      desired: "run",
      rotation: "out",
      rotationSinceMs: this.nowMs,
      leaving: false,
      restartAsked: false,
      away: false,
      sleep: null,
      wokenEpoch: 0,
      partition: this.policy,
      ready: false,
      readySinceMs: 0,
      hostId: null,
      restartsCount: 0,
      reasonCode: null,
      reason: null,
      lastLines: [],
      updatedAtMs: this.nowMs,
      unplaceable: null,
    };
  }

  #stepDeploy(id: DeployId, to: DeployState, reasonCode: string | null, reason: string | null): void {
    const deploy = this.deploys.find((one) => one.id === id);
    if (deploy === undefined) throw new Error(`no deploy ${id}`);
    expect(canStepDeploy(deploy.state, to), `${deploy.state} → ${to}`).toBe(true);
    deploy.state = to;
    deploy.stateSinceMs = this.nowMs;
    if (reasonCode !== null) Object.assign(deploy, { reasonCode, reason });
  }

  /** Agents carry out what is asked: everything starts and gets ready, what shall stop stops. */
  agents(outcome: "ready" | "failed" = "ready"): void {
    for (const job of this.jobs) {
      job.updatedAtMs = this.nowMs;
      if (isFinal(job.state) || this.unreachable.has(job.id)) continue;
      if (job.desired === "stop") Object.assign(job, { state: "finished", ready: false });
      else if (outcome === "ready") {
        if (!job.ready) job.readySinceMs = this.nowMs;
        Object.assign(job, { state: "running", ready: true });
      } else if (!job.ready)
        Object.assign(job, { state: "failed", reasonCode: "crashed", reason: "exit code 1" });
    }
  }

  /** The router computes the table and every edge acknowledges it. */
  edges(): void {
    this.routed = new Set(this.jobs.filter((job) => job.ready && job.rotation === "in").map((job) => job.id));
    this.settled = true;
  }

  settle(outcome: "ready" | "failed" = "ready"): void {
    for (let i = 0; i < 12; i++) {
      this.plan();
      this.agents(outcome);
      this.plan();
      this.edges();
      this.nowMs += 2000;
    }
  }

  live(): Job[] {
    return this.jobs.filter((job) => !isFinal(job.state));
  }
}

export function deployed(scale = 1): PlannedService {
  const world = new PlannedService();
  world.scale = scale;
  world.release();
  world.settle();
  return world;
}
