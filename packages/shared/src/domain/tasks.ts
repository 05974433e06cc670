/** Work that runs once and ends: a deploy's release phase, a cron's runs, what somebody runs. */
import { z } from "zod";
import { ProcessName } from "./names.ts";

/** The process of the Procfile that is no process: it runs once, before a deploy's instances start. */
export const RELEASE_PROCESS = "release";

export const MAX_TASK_DEADLINE_MS = 24 * 3_600_000;
export const MAX_RELEASE_DEADLINE_MS = 3_600_000;
export const DEFAULT_RELEASE_DEADLINE_MS = 600_000;
export const DEFAULT_TASK_DEADLINE_MS = 3_600_000;
export const MOST_CRONS = 50;

export const TaskKind = z.enum(["release", "cron", "run"]);
export type TaskKind = z.infer<typeof TaskKind>;

export const TaskState = z.enum(["running", "succeeded", "failed", "cancelled", "skipped"]);
export type TaskState = z.infer<typeof TaskState>;

export const CommandText = z
  .string()
  .trim()
  .min(1, "must not be empty")
  .max(4096, "must have at most 4096 characters")
  .regex(/^[^\u0000-\u0008\u000b-\u001f\u007f]*$/, "must not have control characters");

export const CronName = ProcessName;

/** Five fields: minute, hour, day of the month, month, day of the week; or `@daily` and its like. */
export const CronSchedule = z
  .string()
  .trim()
  .max(200)
  .refine(
    isSchedule,
    'must be five fields such as "15 3 * * 1-5" (minute, hour, day, month, weekday), or @hourly, @daily, @weekly, @monthly, @yearly',
  );

const NICKNAMES = /^@(hourly|daily|weekly|monthly|yearly)$/;
const RANGES: readonly (readonly [number, number])[] = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
];
const NAMES: readonly (readonly string[])[] = [
  [],
  [],
  [],
  ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
  ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
];

function isSchedule(text: string): boolean {
  if (NICKNAMES.test(text)) return true;
  const fields = text.split(/\s+/);
  return (
    fields.length === 5 &&
    fields.every((field, index) => field.split(",").every((part) => isPart(part, index)))
  );
}

/** One of `*`, `5`, `1-5`, and any of these with `/step`. */
function isPart(part: string, index: number): boolean {
  const [range = "", step, ...rest] = part.split("/");
  if (rest.length > 0 || (step !== undefined && !/^[1-9]\d?$/.test(step))) return false;
  if (range === "*") return true;
  const ends = range.split("-").map((end) => toNumber(end, index));
  if (ends.length > 2 || ends.some((end) => end === null)) return false;
  const [from = 0, to = from] = ends as number[];
  return from <= to;
}

function toNumber(text: string, index: number): number | null {
  const [min, max] = RANGES[index] ?? [0, 0];
  const named = NAMES[index]?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0) return named + (index === 3 ? 1 : 0);
  const value = /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : null;
}

export const TimeZone = z
  .string()
  .max(64)
  .refine(isTimeZone, "must be a time zone, such as Europe/Berlin or UTC");

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).format(0) !== "";
  } catch {
    return false;
  }
}

export const CronJob = z.strictObject({
  schedule: CronSchedule,
  command: CommandText,
  timezone: TimeZone.default("UTC"),
  /** `forbid`: while one runs the next is skipped. */
  overlap: z.enum(["forbid", "allow"]).default("forbid"),
  deadlineMs: z.int().min(1000).max(MAX_TASK_DEADLINE_MS).default(DEFAULT_TASK_DEADLINE_MS),
});
export type CronJob = z.infer<typeof CronJob>;

/** What a release brings to run besides its processes. */
export const ReleaseTasks = z.strictObject({
  releaseDeadlineMs: z.int().min(1000).max(MAX_RELEASE_DEADLINE_MS).default(DEFAULT_RELEASE_DEADLINE_MS),
  cron: z.record(CronName, CronJob).default({}),
});
export type ReleaseTasks = z.infer<typeof ReleaseTasks>;
