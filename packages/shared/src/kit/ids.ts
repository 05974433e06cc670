/** Makes new ids: time from the clock, randomness from the operating system. */
import { randomUUID } from "node:crypto";
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

/** Of a random UUID, whose first and last groups have no fixed bits: Node draws its randomness for many at once. */
function tenRandomBytes(): Uint8Array {
  const uuid = randomUUID();
  return Buffer.from(uuid.slice(0, 8) + uuid.slice(24), "hex");
}

export function newId<K extends IdKind>(kind: K): IdByKind[K] {
  return formatId(kind, Date.now(), tenRandomBytes()) as IdByKind[K];
}
