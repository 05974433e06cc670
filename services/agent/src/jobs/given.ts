/** What the workers of all jobs share. */
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import type { HostState } from "@berth/shared/domain/placement.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { JobRecord } from "../core/job-record.ts";
import type { ContainerCables } from "../network/container-cables.ts";
import type { CablePlace } from "../network/core/container-cable.ts";
import type { JobNetwork } from "../network/host-networks-given.ts";
import type { SeenContainer } from "../network/port-guard.ts";
import type { Engine } from "../outbound/docker.ts";
import type { Ledger } from "../outbound/ledger.ts";
import type { KernelOomLog } from "../outbound/oom-kills.ts";
import type { SecretsFolder } from "../outbound/secrets-folder.ts";
import type { ContainerIndex } from "./container-index.ts";
import type { ImagePuller } from "./image-puller.ts";
import type { JobWorker } from "./job-worker.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";
import type { StartGate } from "./start-gate.ts";

/** What a job asks of the host's networks. */
export interface EnvironmentNetworks {
  /** The environment's network on this host, which stands by then. */
  ensure(environmentId: EnvironmentId): Promise<JobNetwork>;
  /** Undefined while the host is not in it. */
  desiredOf(environmentId: EnvironmentId): CablePlace | undefined;
}

/** Binds a container that was just started to its port. */
export interface ContainerPortGuard {
  note(containerId: string, seen: SeenContainer): Promise<void>;
}

export interface JobsGiven {
  readonly hostId: HostId;
  readonly podId: string;
  /** host:port of the registry. */
  readonly registry: string;
  readonly bootId: string;
  readonly networks: EnvironmentNetworks;
  readonly cables: Pick<ContainerCables, "withAddress" | "lay">;
  readonly ports: ContainerPortGuard;
  readonly busyboxFolder: string;
  readonly seccomp: string;
  readonly cgroupParent: string | null;
  readonly engine: Engine;
  readonly index: ContainerIndex;
  readonly ledger: Ledger;
  readonly leases: LeaseKeeper;
  readonly secrets: SecretsFolder;
  readonly curve: Curve;
  readonly puller: ImagePuller;
  /** Caps the starts in flight: an engine that starts everything at once is slow for all. */
  readonly starts: Pick<StartGate, "run">;
  readonly oomLog: KernelOomLog;
  readonly clock: Clock;
  readonly log: Log;
  /** What the host has left, with these jobs on it. */
  readonly hostState: (records: readonly JobRecord[]) => HostState;
  /** Lets a job have its memory again, or says why there is none: one such decision at a time. */
  readonly admit: (worker: JobWorker) => Promise<void>;
  readonly report: (record: JobRecord) => void;
  readonly forgotten: (jobId: string) => void;
}
