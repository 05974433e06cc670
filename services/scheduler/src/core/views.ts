/** What the scheduler decides from: a whole, fresh snapshot of one service, read in one transaction. */
import type { DeployState } from "@berth/shared/domain/deploy-state.ts";
import type { DeployId, HostId, JobId, ReleaseId, ServiceId, TaskId } from "@berth/shared/domain/ids.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import type { Rollout } from "@berth/shared/domain/rollout.ts";
import type { PartitionPolicy } from "@berth/shared/domain/service-policy.ts";
import type { SleepCause, SleepLevel, SleepOrder, SleepState } from "@berth/shared/domain/sleep.ts";
import type { TaskKind, TaskState } from "@berth/shared/domain/tasks.ts";
import type { SleepView } from "./plan-sleep.ts";

export interface ProcessWish {
  readonly process: string;
  readonly scale: number;
}

export interface ReleaseView {
  readonly id: ReleaseId;
  readonly version: number;
  readonly deployId: DeployId;
  /** Process types that the release can run. */
  readonly processes: ReadonlySet<string>;
  /** Of processes whose owner asks for more than the default; only of a release with an open deploy. */
  readonly rollouts: ReadonlyMap<string, Rollout>;
}

export interface DeployView {
  readonly id: DeployId;
  readonly releaseId: ReleaseId;
  readonly state: DeployState;
  readonly createdAtMs: number;
  readonly stateSinceMs: number;
  readonly reasonCode: string | null;
  readonly reason: string | null;
}

export interface JobView {
  readonly id: JobId;
  readonly releaseId: ReleaseId;
  readonly deployId: DeployId;
  readonly process: string;
  readonly slot: number;
  readonly state: JobState;
  readonly desired: "run" | "stop";
  readonly rotation: "out" | "in" | "draining";
  readonly rotationSinceMs: number;
  /** Its slot is given to another job, which takes over before this one stops. */
  readonly leaving: boolean;
  /** Somebody asked, after it was made, to restart its process. */
  readonly restartAsked: boolean;
  /** Replaced while its host was silent; it takes its slot back when the host returns. */
  readonly away: boolean;
  /** It is to sleep, or sleeps. */
  readonly sleep: SleepOrder | null;
  /** The newest sleep of its service that is over; 0 for none. */
  readonly wokenEpoch: number;
  /** What its host was told with it. */
  readonly partition: PartitionPolicy;
  readonly ready: boolean;
  /** Since when without a break; means nothing while it is not ready. */
  readonly readySinceMs: number;
  readonly hostId: HostId | null;
  readonly restartsCount: number;
  readonly reasonCode: string | null;
  readonly reason: string | null;
  readonly lastLines: readonly string[];
  readonly updatedAtMs: number;
  /** Set while no host can take the job: the reason that all hosts share, and whether waiting can help. */
  readonly unplaceable: {
    readonly reason: string;
    readonly hopeless: boolean;
    readonly sinceMs: number;
  } | null;
}

/** Work that runs once. Its job is not among the service's jobs: nothing replaces, moves or routes it. */
export interface TaskView {
  readonly id: TaskId;
  readonly kind: TaskKind;
  readonly deployId: DeployId;
  readonly state: TaskState;
  readonly reasonCode: string | null;
  readonly reason: string | null;
  readonly lastLines: readonly string[];
  readonly createdAtMs: number;
  readonly deadlineMs: number;
  readonly endedAtMs: number | null;
  /** Somebody who ordered it does not want it any more. */
  readonly cancelled: boolean;
  readonly job: JobView | null;
}

/** What is known of a host right now. */
export interface HostSight {
  readonly state: "alive" | "suspect" | "lost";
  readonly lastHeartbeatAtMs: number;
  /** Most hosts of its pod fell silent at once: nothing of it is given up. */
  readonly frozen: boolean;
}

export interface ServiceView {
  readonly serviceId: ServiceId;
  readonly deleted: boolean;
  /** The release that the customer wants, or null before the first one. */
  readonly target: ReleaseView | null;
  /** True when the target's deploy was created already, in whatever state. */
  readonly targetDeployExists: boolean;
  /** The release in rotation, or null before the first deploy succeeded. */
  readonly serving: ReleaseView | null;
  readonly wishes: readonly ProcessWish[];
  /** Deploys that are not final. */
  readonly openDeploys: readonly DeployView[];
  /** Jobs that are not final, and final ones of open deploys or of the last minutes. */
  readonly jobs: readonly JobView[];
  /** Open ones, and the release phases of open deploys. */
  readonly tasks: readonly TaskView[];
  readonly cancelled: ReadonlySet<DeployId>;
  /** Hosts that an operator empties: their jobs move, start-first. */
  readonly drainingHosts: ReadonlySet<HostId>;
  /** Hosts that were not removed. */
  readonly hosts: ReadonlyMap<HostId, HostSight>;
  readonly policy: PartitionPolicy;
  /** A deploy that gets no further for so long is rolled back; null: the limit of the pod. */
  readonly progressDeadlineMs: number | null;
  /** Jobs in the route table that every live edge acknowledged; null while the newest table is not acknowledged. */
  readonly routed: ReadonlySet<JobId> | null;
  readonly sleep: SleepView;
}

export interface PlanLimits {
  /** A deploy that gets no further for so long is rolled back. */
  readonly deployDeadlineMs: number;
  /** How long a job may wait for a host when waiting could help. */
  readonly unplaceableAfterMs: number;
  /** From out of rotation to stop: time for open connections. */
  readonly drainMs: number;
}

export type Step =
  | { readonly kind: "create-deploy"; readonly release: ReleaseView }
  | {
      readonly kind: "create-job";
      readonly release: ReleaseView;
      readonly process: string;
      readonly slot: number;
      /** Only when nothing else can run in the slot, which who commits it checks again. */
      readonly alone: boolean;
    }
  /** The release phase: its command once, with the release's image and variables. */
  | { readonly kind: "create-task"; readonly release: ReleaseView }
  | {
      readonly kind: "end-task";
      readonly taskId: TaskId;
      readonly to: "succeeded" | "failed" | "cancelled";
      readonly reasonCode: string | null;
      readonly reason: string | null;
    }
  | { readonly kind: "send-away"; readonly jobId: JobId }
  | { readonly kind: "take-back"; readonly jobId: JobId }
  | { readonly kind: "set-rotation"; readonly jobId: JobId; readonly rotation: "out" | "in" | "draining" }
  | { readonly kind: "leave-host"; readonly jobId: JobId }
  | { readonly kind: "stop-job"; readonly jobId: JobId }
  | { readonly kind: "set-serving"; readonly releaseId: ReleaseId | null }
  | {
      readonly kind: "step-sleep";
      /** Nothing is done when the sleep is not there any more. */
      readonly from: { readonly state: SleepState; readonly epoch: number };
      readonly to: SleepState;
      readonly level: SleepLevel;
      readonly cause: SleepCause;
      /** The order that is taken with it. */
      readonly orderAtMs: number | null;
      readonly wokenBy: "order" | "deploy" | "request" | null;
    }
  | {
      readonly kind: "step-deploy";
      readonly deployId: DeployId;
      readonly to: DeployState;
      readonly reasonCode: string | null;
      readonly reason: string | null;
    };
