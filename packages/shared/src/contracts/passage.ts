/**
 * Passages: a TCP connection of `berth tunnel`, from a person's machine to an instance.
 *
 *   api ─OpenPassage─▶ agent of a ready instance, which connects to it
 *   api ─PassageDown─▶ agent   what the person sent
 *   agent ─PassageUp─▶ api     what the instance sent
 *
 * A frame may be lost, as every signal: frames are numbered, so a gap ends the passage and never falsifies it. Each end
 * tells what it consumed, and never sends more than a window beyond what the other one did.
 */
import { z } from "zod";
import { EnvironmentId, HostId, JobId, PassageId } from "../domain/ids.ts";
import { defineRequest, defineSignal } from "./event.ts";

/** Why a passage ended; `done`: both sides said all they had to. */
export const PassageEndReason = z.enum([
  "done",
  "client-left",
  "instance-closed",
  "instance-gone",
  "silent",
  "lost",
  "protocol",
  "idle",
  "time-over",
  "access-ended",
  "shutting-down",
]);
export type PassageEndReason = z.infer<typeof PassageEndReason>;

/** 32 KiB in base 64. */
const MOST_DATA_CHARACTERS = 43_692;

export const PassageFrame = z.strictObject({
  hostId: HostId,
  passageId: PassageId,
  /** 0, 1, 2, … per direction. */
  seq: z.int().min(0),
  /** Bytes of the other direction that this end passed on, since the start. */
  consumedBytes: z.int().min(0),
  /** Base 64; at most 32 KiB. */
  data: z.string().max(MOST_DATA_CHARACTERS).optional(),
  /** Nothing more comes from this end. */
  end: z.literal(true).optional(),
  /** This end is gone. */
  closed: PassageEndReason.optional(),
});
export type PassageFrame = z.infer<typeof PassageFrame>;

export const OpenPassage = defineRequest({
  name: "OpenPassage",
  subject: "berth.v1.host.{hostId}.open-passage",
  emittedBy: ["api"],
  consumedBy: ["agent"],
  about: "Asks a host to connect to one of its ready instances, for `berth tunnel`.",
  payload: z.strictObject({
    hostId: HostId,
    passageId: PassageId,
    environmentId: EnvironmentId,
    jobId: JobId,
    port: z.int().min(1).max(65_535),
  }),
  reply: z.discriminatedUnion("answer", [
    z.strictObject({ answer: z.literal("opened") }),
    z.strictObject({ answer: z.literal("refused"), reason: z.string().max(500) }),
  ]),
  timeoutMs: 4000,
});

export const PassageDown = defineSignal({
  name: "PassageDown",
  subject: "berth.v1.passage.{hostId}.{passageId}.down",
  emittedBy: ["api"],
  consumedBy: ["agent"],
  about: "Bytes of a person's connection to an instance.",
  payload: PassageFrame,
});

export const PassageUp = defineSignal({
  name: "PassageUp",
  subject: "berth.v1.passage.{hostId}.{passageId}.up",
  emittedBy: ["agent"],
  consumedBy: ["api"],
  about: "Bytes of an instance to a person's connection.",
  payload: PassageFrame,
});
