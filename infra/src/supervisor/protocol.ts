/**
 * The supervisor's control socket: one JSON line in, one JSON line out, then the connection closes.
 * The socket is 0600 in a 0700 folder: who may open it may stop the pod.
 */
import { join } from "node:path";
import { z } from "zod";

export const ControlRequest = z.discriminatedUnion("command", [
  z.object({ command: z.literal("status") }),
  z.object({ command: z.literal("stop") }),
  z.object({ command: z.literal("restart"), name: z.string() }),
  z.object({ command: z.literal("apply") }),
]);
export type ControlRequest = z.infer<typeof ControlRequest>;

export const ProcessState = z.enum(["waiting", "starting", "ready", "backing-off", "stopping", "stopped"]);

export const ProcessStatus = z.object({
  name: z.string(),
  state: ProcessState,
  pid: z.int().nullable(),
  /** Starts after the first one. */
  restarts: z.int(),
  /** When it entered `state`. */
  sinceMs: z.number(),
  /** Time from start to ready, null until it was ready once. */
  readyAfterMs: z.number().nullable(),
  /** What it waits for, in words, in the state `waiting`. */
  waitingFor: z.string().nullable(),
  adopted: z.boolean(),
  lastExit: z.object({ how: z.string(), atMs: z.number() }).nullable(),
});
export type ProcessStatus = z.infer<typeof ProcessStatus>;

export const SupervisorStatus = z.object({ pid: z.int(), processes: z.array(ProcessStatus) });
export type SupervisorStatus = z.infer<typeof SupervisorStatus>;

export const ApplyResult = z.object({
  started: z.array(z.string()),
  restarted: z.array(z.string()),
  stopped: z.array(z.string()),
});
export type ApplyResult = z.infer<typeof ApplyResult>;

export const ControlResponse = z.discriminatedUnion("ok", [
  z.object({ ok: z.literal(true), result: z.unknown() }),
  z.object({ ok: z.literal(false), error: z.string() }),
]);
export type ControlResponse = z.infer<typeof ControlResponse>;

export function socketPath(runDir: string): string {
  return join(runDir, "supervisor.sock");
}
