/** Makes new ids: time from the clock, randomness from the operating system. */
import { randomBytes } from "node:crypto";
import type {
  BuildId,
  CertificateId,
  DecisionId,
  DeployId,
  EnvironmentId,
  HostId,
  IdKind,
  JobId,
  OrgId,
  PassageId,
  RebalanceId,
  ReleaseId,
  ServiceId,
  TaskId,
  TokenId,
  UserId,
} from "../domain/ids.ts";
import { formatId } from "../domain/ids.ts";

interface IdByKind {
  org: OrgId;
  user: UserId;
  token: TokenId;
  environment: EnvironmentId;
  service: ServiceId;
  release: ReleaseId;
  deploy: DeployId;
  build: BuildId;
  job: JobId;
  host: HostId;
  decision: DecisionId;
  rebalance: RebalanceId;
  passage: PassageId;
  task: TaskId;
  certificate: CertificateId;
}

export function newId<K extends IdKind>(kind: K): IdByKind[K] {
  return formatId(kind, Date.now(), randomBytes(10)) as IdByKind[K];
}
