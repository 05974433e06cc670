/** What a simulated host hears and says, as the contracts have it. */
import type { JobSpec, ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { HostState, RefusalCode } from "@berth/shared/domain/placement.ts";
import type { SnapshotJob } from "./snapshot.ts";

export interface AwardMessage {
  readonly leaderEpoch: number;
  readonly leaseExpiresAtMs: number;
  readonly jobs: readonly JobSpec[];
}

export interface AwardReply {
  readonly answers: readonly {
    readonly jobId: string;
    readonly epoch: number;
    readonly refusal: { readonly code: RefusalCode; readonly detail: string } | null;
  }[];
  readonly state: HostState;
}

export interface BeatHead {
  readonly hostId: HostId;
  readonly atMs: number;
  readonly bootId: string;
  readonly monotonicMs: number;
  readonly agentStartedAtMs: number;
  readonly revision: number;
}

/** Nothing changed since the beat of this revision. */
export interface SameBeat extends BeatHead {
  readonly form: "same";
}

interface BeatBody extends BeatHead {
  readonly state: HostState;
  readonly jobs: readonly ObservedJob[];
  readonly unknown: readonly { readonly jobId: string; readonly epoch: number }[];
  readonly routesVersion: number;
}

export interface Beat extends BeatBody {
  readonly form: "full";
  readonly whole: boolean;
}

/** What changed since the beat of the revision `since`. */
export interface ChangedBeat extends BeatBody {
  readonly form: "changed";
  readonly since: number;
  readonly gone: readonly string[];
}

export type SaidBeat = Beat | ChangedBeat | SameBeat;

/** An award as its scheduler remembers it until it is answered. */
export interface SentAward {
  readonly job: SnapshotJob;
  readonly hostId: HostId;
  readonly epoch: number;
  readonly leaseExpiresAtMs: number;
}
