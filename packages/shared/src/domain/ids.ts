/**
 * Branded identifiers that show their kind: `svc_01hf…`. The body is a ULID in lower-case Crockford base 32
 * (48 bits of milliseconds, 80 random bits), so ids sort by creation time and fit a NATS subject token.
 */
import { z } from "zod";

const BODY = "[0-9abcdefghjkmnpqrstvwxyz]{26}";

export const ID_PREFIXES = {
  org: "org",
  user: "usr",
  token: "tok",
  environment: "env",
  service: "svc",
  release: "rel",
  deploy: "dep",
  build: "bld",
  job: "job",
  host: "hst",
  decision: "dec",
  rebalance: "rbl",
  passage: "psg",
  task: "tsk",
  certificate: "crt",
} as const;

export type IdKind = keyof typeof ID_PREFIXES;

function idSchema<Brand extends string>(kind: IdKind) {
  return z
    .string()
    .regex(
      new RegExp(`^${ID_PREFIXES[kind]}_${BODY}$`),
      `must be a ${kind} id, such as ${ID_PREFIXES[kind]}_01j…`,
    )
    .brand<Brand>();
}

export const OrgId = idSchema<"OrgId">("org");
export const UserId = idSchema<"UserId">("user");
export const TokenId = idSchema<"TokenId">("token");
export const EnvironmentId = idSchema<"EnvironmentId">("environment");
export const ServiceId = idSchema<"ServiceId">("service");
export const ReleaseId = idSchema<"ReleaseId">("release");
export const DeployId = idSchema<"DeployId">("deploy");
export const BuildId = idSchema<"BuildId">("build");
export const JobId = idSchema<"JobId">("job");
export const HostId = idSchema<"HostId">("host");
export const DecisionId = idSchema<"DecisionId">("decision");
export const TaskId = idSchema<"TaskId">("task");
export const RebalanceId = idSchema<"RebalanceId">("rebalance");
export const PassageId = idSchema<"PassageId">("passage");
export const CertificateId = idSchema<"CertificateId">("certificate");

export type OrgId = z.infer<typeof OrgId>;
export type UserId = z.infer<typeof UserId>;
export type TokenId = z.infer<typeof TokenId>;
export type EnvironmentId = z.infer<typeof EnvironmentId>;
export type ServiceId = z.infer<typeof ServiceId>;
export type ReleaseId = z.infer<typeof ReleaseId>;
export type DeployId = z.infer<typeof DeployId>;
export type BuildId = z.infer<typeof BuildId>;
export type JobId = z.infer<typeof JobId>;
export type HostId = z.infer<typeof HostId>;
export type DecisionId = z.infer<typeof DecisionId>;
export type TaskId = z.infer<typeof TaskId>;
export type RebalanceId = z.infer<typeof RebalanceId>;
export type PassageId = z.infer<typeof PassageId>;
export type CertificateId = z.infer<typeof CertificateId>;

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/**
 * Formats an id from its parts. Pure: time and randomness are arguments.
 * @param nowMs milliseconds since 1970, below 2^48
 * @param random at least 10 bytes
 */
export function formatId(kind: IdKind, nowMs: number, random: Uint8Array): string {
  return `${ID_PREFIXES[kind]}_${digits(nowMs, 10)}${fiveBytes(random, 0)}${fiveBytes(random, 5)}`;
}

/** 40 bits from `at` on as 8 digits. */
function fiveBytes(bytes: Uint8Array, at: number): string {
  let value = 0;
  for (let i = at; i < at + 5; i++) value = value * 256 + (bytes[i] ?? 0);
  return digits(value, 8);
}

/** @param value below 2^53 */
function digits(value: number, count: number): string {
  let text = "";
  for (let left = value; text.length < count; left = Math.floor(left / 32)) text = ALPHABET[left % 32] + text;
  return text;
}
