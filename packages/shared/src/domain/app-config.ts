/**
 * What an app's repository says of how it wants to run: the form of `berth.yaml`, and what the platform makes of it.
 *
 * Only keys that change what runs are here: an accepted key that does nothing would be a lie. Every key is described
 * in docs/BERTH-YAML.md, which is compared with this file both ways.
 */
import { z } from "zod";
import { AppHttpOptions } from "./app-http.ts";
import { Autoscale } from "./autoscale.ts";
import { HttpOptions } from "./http-options.ts";
import { measured, readDuration } from "./measured.ts";
import { ProcessName, VariableName } from "./names.ts";
import { GIB, MIB, parseBytes, Resources } from "./resources.ts";
import {
  LEAST_PROGRESS_DEADLINE_MS,
  MAX_MIN_READY_MS,
  MAX_PROGRESS_DEADLINE_MS,
  Rollout,
} from "./rollout.ts";
import { LEAST_SLEEP_AFTER_MS, MAX_SLEEP_AFTER_MS, SleepLevel } from "./sleep.ts";
import {
  CommandText,
  CronName,
  CronSchedule,
  MAX_RELEASE_DEADLINE_MS,
  MAX_TASK_DEADLINE_MS,
  MOST_CRONS,
  RELEASE_PROCESS,
  ReleaseTasks,
  TimeZone,
} from "./tasks.ts";

/** All that is not a secret travels with every job, fifty of which must fit into one message. */
export const MAX_ENV_BYTES = 8192;
const MAX_ENV_NAMES = 100;
/** A deploy that has not ended by then is rolled back, whatever its app says. */
const MAX_START_DEADLINE_MS = 300_000;
const MAX_STOP_GRACE_MS = 300_000;
const MOST_LABELS = 20;

const memory = measured(parseBytes, [16 * MIB, 1024 * GIB], { example: "512MB", range: "16MB to 1024GB" });

const disk = measured(parseBytes, [0, 1024 * GIB], { example: "1GB", range: "0 to 1024GB" });
const startDeadline = measured(readDuration, [1000, MAX_START_DEADLINE_MS], {
  example: "90s",
  range: "1s to 5m: a deploy has five minutes",
});
const stopGrace = measured(readDuration, [0, MAX_STOP_GRACE_MS], { example: "30s", range: "0s to 5m" });

const minReady = measured(readDuration, [0, MAX_MIN_READY_MS], { example: "10s", range: "0s to 5m" });
const progressDeadline = measured(readDuration, [LEAST_PROGRESS_DEADLINE_MS, MAX_PROGRESS_DEADLINE_MS], {
  example: "5m",
  range: "10s to 1h",
});
const sleepAfter = measured(readDuration, [LEAST_SLEEP_AFTER_MS, MAX_SLEEP_AFTER_MS], {
  example: "15m",
  range: "10s to 168h",
});
/** Null: never by itself. */
const sleepAfterOrOff = z.union([z.string(), z.number()]).transform((given, context) => {
  if (given === "off") return null;
  const read = sleepAfter.safeParse(given);
  if (read.success) return read.data;
  context.addIssue({ code: "custom", message: read.error.issues[0]?.message ?? "is no time" });
  return z.NEVER;
});
const instances = z.int("must be a whole number from 1 to 500").min(1).max(500);

const releaseDeadline = measured(readDuration, [1000, MAX_RELEASE_DEADLINE_MS], {
  example: "10m",
  range: "1s to 1h",
});
const cronDeadline = measured(readDuration, [1000, MAX_TASK_DEADLINE_MS], {
  example: "30m",
  range: "1s to 24h",
});

const cooldown = measured(readDuration, [10_000, 3_600_000], { example: "1m", range: "10s to 1h" });

export const AppAutoscale = z
  .strictObject({
    min: instances.optional(),
    max: z.literal("off").or(instances),
    requests: z.number("must be a number of requests").min(0.1).max(10_000).optional(),
    cpu: z.int("must be a whole number of per cent up to 100, for example 70").min(1).max(100).optional(),
    cooldown: cooldown.optional(),
  })
  .refine(({ min = 1, max }) => max === "off" || min <= max, "min must not be more than max")
  .refine(
    ({ max, requests, cpu }) => max === "off" || requests !== undefined || cpu !== undefined,
    "needs requests or cpu: by what it is to scale",
  );

export const AppProcess = z.strictObject({
  command: CommandText.optional(),
  scale: z.int("must be a whole number").min(0).max(500).optional(),
  memory: memory.optional(),
  disk: disk.optional(),
  cpu: z
    .number("must be a number of CPUs, for example 0.5")
    .min(0.01)
    .max(256)
    .transform((cpus) => Math.round(cpus * 1000))
    .optional(),
  health: z
    .string()
    .max(500)
    .startsWith("/", "must be a path that starts with /, for example /healthz")
    .optional(),
  "start-deadline": startDeadline.optional(),
  "stop-grace": stopGrace.optional(),
  "min-ready": minReady.optional(),
  canary: instances.optional(),
  batch: instances.optional(),
  autoscale: AppAutoscale.optional(),
  deadline: releaseDeadline.optional(),
});

const envValue = z
  .union([z.string(), z.number(), z.boolean()], "must be a text, a number or a boolean")
  .transform(String);

export const AppCron = z.strictObject({
  schedule: CronSchedule,
  command: CommandText,
  timezone: TimeZone.optional(),
  overlap: z.enum(["forbid", "allow"], "must be forbid or allow").optional(),
  deadline: cronDeadline.optional(),
});

export const AppPlacement = z.strictObject({
  apart: z.boolean("must be true or false").optional(),
  labels: z
    .record(
      z
        .string()
        .regex(
          /^[a-z]([a-z0-9./-]{0,61}[a-z0-9])?$/,
          "a label's name is lower-case letters, digits, '.', '/' and '-'",
        ),
      z.string("must be a text").max(63),
    )
    .refine((labels) => Object.keys(labels).length <= MOST_LABELS, `at most ${MOST_LABELS} labels`)
    .optional(),
});

export const AppDeploy = z.strictObject({ "progress-deadline": progressDeadline.optional() });

export const AppSleep = z.strictObject({
  after: sleepAfterOrOff.optional(),
  level: z.enum(SleepLevel.options, `must be ${SleepLevel.options.join(", ")}`).optional(),
});

/** `berth.yaml` as people write it. */
export const AppFile = z.strictObject({
  processes: z
    .record(ProcessName, AppProcess)
    .refine((processes) => Object.keys(processes).length <= 32, "at most 32 processes")
    .refine(onlyWebHasHealth, "only web has a health path: other processes get no requests")
    .refine(
      releaseIsNotScaled,
      "release runs once before a deploy: it has no scale, autoscale, start-deadline, stop-grace, min-ready, canary or batch",
    )
    .refine(onlyWebHasRequests, "only web is scaled by requests: other processes get none")
    .refine(onlyReleaseEnds, "only release has a deadline: other processes do not end")
    .optional(),
  cron: z
    .record(CronName, AppCron)
    .refine((crons) => Object.keys(crons).length <= MOST_CRONS, `at most ${MOST_CRONS} crons`)
    .optional(),
  placement: AppPlacement.optional(),
  deploy: AppDeploy.optional(),
  sleep: AppSleep.optional(),
  http: AppHttpOptions.optional(),
  env: z
    .record(VariableName, envValue)
    .refine((env) => Object.keys(env).length <= MAX_ENV_NAMES, `at most ${MAX_ENV_NAMES} names`)
    .refine(
      (env) => JSON.stringify(env).length <= MAX_ENV_BYTES,
      `at most ${MAX_ENV_BYTES} bytes all together`,
    )
    .optional(),
});
export type AppFile = z.output<typeof AppFile>;

function onlyWebHasHealth(processes: Readonly<Record<string, { health?: string | undefined }>>): boolean {
  return Object.entries(processes).every(([name, { health }]) => health === undefined || name === "web");
}

function onlyWebHasRequests(
  processes: Readonly<Record<string, { autoscale?: { requests?: number | undefined } | undefined }>>,
): boolean {
  return Object.entries(processes).every(
    ([name, { autoscale }]) => autoscale?.requests === undefined || name === "web",
  );
}

type GivenProcesses = Readonly<Record<string, z.output<typeof AppProcess>>>;

function releaseIsNotScaled(processes: GivenProcesses): boolean {
  const release = processes[RELEASE_PROCESS];
  const { scale, canary, batch, autoscale } = release ?? {};
  return [
    ...[
      scale,
      canary,
      batch,
      autoscale,
      release?.["start-deadline"],
      release?.["stop-grace"],
      release?.["min-ready"],
    ],
  ].every((one) => one === undefined);
}

function onlyReleaseEnds(processes: GivenProcesses): boolean {
  return Object.entries(processes).every(
    ([name, { deadline }]) => deadline === undefined || name === RELEASE_PROCESS,
  );
}

/** What a process of the file is set to; what is left out stays as it is. */
export const ProcessWishes = z.strictObject({
  scale: z.int().min(0).max(500).optional(),
  memoryBytes: z
    .int()
    .min(16 * MIB)
    .optional(),
  cpuMillis: z.int().min(10).optional(),
  diskBytes: Resources.shape.diskBytes.optional(),
  healthPath: z.string().max(500).optional(),
  startDeadlineMs: z.int().min(1000).max(MAX_START_DEADLINE_MS).optional(),
  stopGraceMs: z.int().min(0).max(MAX_STOP_GRACE_MS).optional(),
  canary: Rollout.shape.canary.unwrap().optional(),
  batch: Rollout.shape.batch.unwrap().optional(),
  minReadyMs: Rollout.shape.minReadyMs.unwrap().optional(),
  /** Null: no more. */
  autoscale: Autoscale.nullable().optional(),
});
export type ProcessWishes = z.infer<typeof ProcessWishes>;

/** What goes from the build to the release. Commands are in the build's process table. */
export const AppConfig = z.strictObject({
  processes: z.record(ProcessName, ProcessWishes).default({}),
  placement: z
    .strictObject({
      apart: z.boolean().optional(),
      labels: z.record(z.string(), z.string().max(63)).optional(),
    })
    .default({}),
  deploy: z
    .strictObject({
      progressDeadlineMs: z.int().min(LEAST_PROGRESS_DEADLINE_MS).max(MAX_PROGRESS_DEADLINE_MS).optional(),
    })
    .default({}),
  sleep: z
    .strictObject({
      /** Null: never by itself. */
      afterMs: z.int().min(LEAST_SLEEP_AFTER_MS).max(MAX_SLEEP_AFTER_MS).nullable().optional(),
      level: SleepLevel.optional(),
    })
    .default({}),
  /** Absent: as it was. */
  http: HttpOptions.optional(),
  env: z.record(VariableName, z.string().max(MAX_ENV_BYTES)).default({}),
  tasks: ReleaseTasks.prefault({}),
});
export type AppConfig = z.infer<typeof AppConfig>;

export interface AppWishes {
  readonly config: AppConfig;
  readonly commands: Readonly<Record<string, string>>;
}

export function toWishes(file: AppFile): AppWishes {
  const commands: Record<string, string> = {};
  const processes: Record<string, ProcessWishes> = {};
  for (const [name, given] of Object.entries(file.processes ?? {})) {
    const { command, memory: memoryBytes, cpu: cpuMillis, disk: diskBytes, health: healthPath } = given;
    const { scale, canary, batch } = given;
    if (command !== undefined) commands[name] = command;
    processes[name] = ProcessWishes.parse({
      ...{ scale, memoryBytes, cpuMillis, diskBytes, healthPath, canary, batch },
      startDeadlineMs: given["start-deadline"],
      stopGraceMs: given["stop-grace"],
      minReadyMs: given["min-ready"],
      autoscale: given.autoscale === undefined ? undefined : toAutoscale(given.autoscale),
    });
  }
  const { placement, env, http } = file;
  const deploy = { progressDeadlineMs: file.deploy?.["progress-deadline"] };
  const sleep = { afterMs: file.sleep?.after, level: file.sleep?.level };
  const config = { processes, placement, deploy, sleep, http, env, tasks: toTasks(file) };
  return { commands, config: AppConfig.parse(config) };
}

function toAutoscale({
  max,
  min = 1,
  requests,
  cpu,
  cooldown,
}: z.output<typeof AppAutoscale>): Autoscale | null {
  return max === "off" ? null : Autoscale.parse({ min, max, requests, cpu, cooldownMs: cooldown });
}

function toTasks({ processes, cron = {} }: AppFile): z.input<typeof ReleaseTasks> {
  const crons = Object.entries(cron).map(([name, { deadline, ...given }]) => [
    name,
    { ...given, ...(deadline === undefined ? {} : { deadlineMs: deadline }) },
  ]);
  const releaseDeadlineMs = processes?.[RELEASE_PROCESS]?.deadline;
  return {
    cron: Object.fromEntries(crons),
    ...(releaseDeadlineMs === undefined ? {} : { releaseDeadlineMs }),
  };
}

/** The nearest of the known names, when it is near enough to be meant. */
export function nearestName(given: string, known: readonly string[]): string | null {
  const ranked = known
    .map((name) => ({ name, distance: editDistance(given.toLowerCase(), name) }))
    .sort((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best !== undefined && best.distance <= Math.max(1, Math.floor(best.name.length / 2))
    ? best.name
    : null;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_none, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
