/** What the workers of all jobs share. */
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { LimitFunction } from "p-limit";
import type { JobRecord } from "../core/job-record.ts";
import type { Engine } from "../outbound/docker.ts";
import type { Ledger } from "../outbound/ledger.ts";
import type { SecretsFolder } from "../outbound/secrets-folder.ts";
import type { ContainerIndex } from "./container-index.ts";
import type { ImagePuller } from "./image-puller.ts";

export interface JobsGiven {
  readonly hostId: HostId;
  readonly podId: string;
  /** host:port of the registry. */
  readonly registry: string;
  readonly bootId: string;
  readonly networkName: string;
  readonly busyboxFolder: string;
  readonly seccomp: string;
  readonly cgroupParent: string | null;
  readonly engine: Engine;
  readonly index: ContainerIndex;
  readonly ledger: Ledger;
  readonly secrets: SecretsFolder;
  readonly curve: Curve;
  readonly puller: ImagePuller;
  /** Caps the starts in flight: an engine that starts everything at once is slow for all. */
  readonly starts: LimitFunction;
  readonly clock: Clock;
  readonly log: Log;
  readonly report: (record: JobRecord) => void;
  readonly forgotten: (jobId: string) => void;
}
