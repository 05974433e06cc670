/**
 * Secrets. Clear values exist in the secrets service's memory, the winning agent's memory and the job's tmpfs only;
 * on the bus they are sealed to a curve key (X25519 + XSalsa20-Poly1305, nkeys' `seal`).
 *
 *   api ─ChangeVars(sealed to secrets)─▶ secrets        agent ─JobObserved(accepted)─▶ secrets ─DeliverEnvelope─▶ agent
 *   builder ─MintPushToken─▶ secrets        api ─MintRegistryToken─▶ secrets
 */
import { z } from "zod";
import { BuildId, HostId, JobId, OrgId, ServiceId } from "../domain/ids.ts";
import { ImageRepository, VariableName } from "../domain/names.ts";
import { defineRequest } from "./event.ts";

/** Base64 of a sealed message. */
export const Sealed = z.string().max(700_000);

/** Clear content of ChangeVars' `sealed`. */
export const VarsChange = z.strictObject({
  serviceId: ServiceId,
  set: z.record(VariableName, z.string().max(65_536)),
  unset: z.array(VariableName).max(500),
});
export type VarsChange = z.infer<typeof VarsChange>;

export const VariableInfo = z.strictObject({
  name: VariableName,
  /** First 8 hex digits of a keyed hash of the value: tells "changed" without telling the value. */
  fingerprint: z.string(),
  setAtMs: z.number(),
  setBy: z.string().max(200),
});
export type VariableInfo = z.infer<typeof VariableInfo>;

export const GetSealingKey = defineRequest({
  name: "GetSealingKey",
  subject: "berth.v1.secrets.get-sealing-key",
  emittedBy: ["api", "router"],
  consumedBy: ["secrets"],
  about: "The curve public key of the secrets service.",
  payload: z.strictObject({}),
  reply: z.strictObject({ publicKey: z.string().max(80) }),
  timeoutMs: 3000,
});

export const ChangeVars = defineRequest({
  name: "ChangeVars",
  subject: "berth.v1.secrets.change-vars",
  emittedBy: ["api"],
  consumedBy: ["secrets"],
  about: "Sets and removes variables; answers the new version, which a release then names.",
  payload: z.strictObject({
    orgId: OrgId,
    serviceId: ServiceId,
    /** Curve public key of the sender, needed to open `sealed`. */
    senderKey: z.string().max(80),
    sealed: Sealed,
    changedBy: z.string().max(200),
    /** Repeating a request with the same id answers the same version. */
    requestId: z.string().max(64),
  }),
  reply: z.discriminatedUnion("outcome", [
    z.strictObject({
      outcome: z.literal("changed"),
      version: z.int().min(1),
      variables: z.array(VariableInfo),
    }),
    z.strictObject({ outcome: z.literal("refused"), reason: z.string().max(500) }),
  ]),
  timeoutMs: 5000,
});

export const RestoreVars = defineRequest({
  name: "RestoreVars",
  subject: "berth.v1.secrets.restore-vars",
  emittedBy: ["api"],
  consumedBy: ["secrets"],
  about: "Makes an earlier version of a service's variables the newest one; answers its new number.",
  payload: z.strictObject({
    orgId: OrgId,
    serviceId: ServiceId,
    /** 0 means no variables. */
    version: z.int().min(0),
    changedBy: z.string().max(200),
    /** Repeating a request with the same id answers the same version. */
    requestId: z.string().max(64),
  }),
  reply: z.discriminatedUnion("outcome", [
    z.strictObject({ outcome: z.literal("restored"), version: z.int().min(0) }),
    z.strictObject({ outcome: z.literal("refused"), reason: z.string().max(500) }),
  ]),
  timeoutMs: 5000,
});

export const ListVars = defineRequest({
  name: "ListVars",
  subject: "berth.v1.secrets.list-vars",
  emittedBy: ["api"],
  consumedBy: ["secrets"],
  about: "Names, ages and fingerprints of a service's variables; never values.",
  payload: z.strictObject({ serviceId: ServiceId }),
  reply: z.strictObject({ version: z.int().min(0), variables: z.array(VariableInfo) }),
  timeoutMs: 3000,
});

export const MintPushToken = defineRequest({
  name: "MintPushToken",
  subject: "berth.v1.secrets.mint-push-token",
  emittedBy: ["builder"],
  consumedBy: ["secrets"],
  about: "A registry token for exactly one repository, push and pull, for a build that is running.",
  payload: z.strictObject({ buildId: BuildId, imageRepository: ImageRepository }),
  reply: z.discriminatedUnion("outcome", [
    z.strictObject({ outcome: z.literal("minted"), token: z.string().max(8000), expiresAtMs: z.number() }),
    z.strictObject({ outcome: z.literal("refused"), reason: z.string().max(500) }),
  ]),
  timeoutMs: 3000,
});

export const MintRegistryToken = defineRequest({
  name: "MintRegistryToken",
  subject: "berth.v1.secrets.mint-registry-token",
  emittedBy: ["api"],
  consumedBy: ["secrets"],
  about:
    "A registry token for a person who pushes a ready image: exactly the service's repository, push and pull.",
  payload: z.strictObject({ orgId: OrgId, serviceId: ServiceId }),
  reply: z.discriminatedUnion("outcome", [
    z.strictObject({
      outcome: z.literal("minted"),
      repository: ImageRepository,
      token: z.string().max(8000),
      expiresAtMs: z.number(),
    }),
    z.strictObject({ outcome: z.literal("refused"), reason: z.string().max(500) }),
  ]),
  timeoutMs: 3000,
});

/** Clear content of an envelope. `hostId`, `jobId` and `epoch` bind it to one award. */
export const Envelope = z.strictObject({
  hostId: HostId,
  jobId: JobId,
  epoch: z.int().min(1),
  variables: z.record(z.string(), z.string()),
  pullToken: z.string().max(8000),
});
export type Envelope = z.infer<typeof Envelope>;

export const DeliverEnvelope = defineRequest({
  name: "DeliverEnvelope",
  subject: "berth.v1.host.{hostId}.deliver-envelope",
  emittedBy: ["secrets"],
  consumedBy: ["agent"],
  about:
    "A job's variables and pull token, sealed to the host's curve key; the agent takes it only for an award it holds.",
  payload: z.strictObject({
    hostId: HostId,
    jobId: JobId,
    epoch: z.int().min(1),
    senderKey: z.string().max(80),
    sealed: Sealed,
  }),
  reply: z.strictObject({ outcome: z.enum(["taken", "unknown-job", "unreadable"]) }),
  timeoutMs: 3000,
});
