/** Logs.  logshipper ─LogLines─▶ api (berth logs -f);  api ─TailLogs─▶ every logshipper */
import { z } from "zod";
import { EnvironmentId, HostId, ServiceId } from "../domain/ids.ts";
import { defineRequest, defineSignal } from "./event.ts";

export const LogLine = z.strictObject({
  atMs: z.number(),
  /** `web.1`: process and slot. */
  instance: z.string().max(60),
  stream: z.enum(["stdout", "stderr"]),
  /** At most 16 KiB; longer lines are cut and marked. Hostile text: escape when rendering. */
  text: z.string().max(20_000),
  release: z.int().min(0),
});
export type LogLine = z.infer<typeof LogLine>;

export const LogLines = defineSignal({
  name: "LogLines",
  subject: "berth.v1.logs.{hostId}.{environmentId}.{serviceId}",
  emittedBy: ["logshipper"],
  consumedBy: ["api"],
  about: "New lines of one service on one host, live. May be lost; what is kept is asked for.",
  payload: z.strictObject({
    hostId: HostId,
    environmentId: EnvironmentId,
    serviceId: ServiceId,
    lines: z.array(LogLine).max(1000),
    /** Lines dropped because the reader was too slow, since the last message. */
    droppedCount: z.int().min(0),
  }),
});

export const TailLogs = defineRequest({
  name: "TailLogs",
  subject: "berth.v1.log-tail.{hostId}",
  emittedBy: ["api"],
  consumedBy: ["logshipper"],
  about: "The last lines of a service that one host kept, oldest first.",
  payload: z.strictObject({ hostId: HostId, serviceId: ServiceId, linesCount: z.int().min(1).max(1000) }),
  reply: z.strictObject({ hostId: HostId, lines: z.array(LogLine).max(1000), truncated: z.boolean() }),
  timeoutMs: 3000,
});
