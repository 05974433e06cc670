/** Crons of the release that serves, what ran, and commands that run once. */
import { z } from "zod";
import { TaskId } from "../../domain/ids.ts";
import {
  CommandText,
  CronJob,
  CronName,
  DEFAULT_TASK_DEADLINE_MS,
  MAX_TASK_DEADLINE_MS,
  TaskKind,
  TaskState,
} from "../../domain/tasks.ts";
import { Page, SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

export const Task = z.strictObject({
  id: TaskId,
  kind: TaskKind,
  /** The cron's. */
  name: z.string().nullable(),
  /** Such as `cron.17`, as its log lines name it; null while it waits to be made. */
  instance: z.string().nullable(),
  state: z.enum(["waiting", ...TaskState.options]),
  command: z.string(),
  release: z.int().nullable(),
  host: z.string().nullable(),
  /** The instant of the schedule that it is for. */
  scheduledAtMs: z.number().nullable(),
  createdAtMs: z.number(),
  finishedAtMs: z.number().nullable(),
  exitCode: z.int().nullable(),
  reasonCode: z.string().nullable(),
  reason: z.string().nullable(),
  /** What it printed last; all of it is in the service's logs. */
  lastLines: z.array(z.string()),
});
export type Task = z.infer<typeof Task>;

const TaskPath = ServicePath.extend({ task: TaskId });
const CronPath = ServicePath.extend({ cron: CronName });
const NewTask = z.strictObject({ taskId: TaskId });

export const listCrons = route({
  method: "GET",
  path: `${SERVICE}/crons`,
  role: "member",
  summary: "Crons of the serving release, their next and their last run",
  params: ServicePath,
  reply: z.strictObject({
    release: z.int().nullable(),
    crons: z.array(
      CronJob.extend({ name: CronName, nextAtMs: z.number().nullable(), lastRun: Task.nullable() }),
    ),
  }),
});
export const runCron = route({
  method: "POST",
  path: `${SERVICE}/crons/:cron/run`,
  role: "member",
  summary: "Run a cron now, besides its schedule",
  params: CronPath,
  reply: NewTask,
});
export const listTasks = route({
  method: "GET",
  path: `${SERVICE}/tasks`,
  role: "member",
  summary: "What ran once and what does: release phases, crons, commands; newest first",
  params: ServicePath,
  query: Page.extend({ kind: TaskKind.optional(), name: CronName.optional() }),
  reply: z.strictObject({ tasks: z.array(Task) }),
});
export const showTask = route({
  method: "GET",
  path: `${SERVICE}/tasks/:task`,
  role: "member",
  summary: "One task: state, exit code, last lines",
  params: TaskPath,
  reply: Task,
});
export const runTask = route({
  method: "POST",
  path: `${SERVICE}/tasks`,
  role: "member",
  summary: "Run a command once, with the serving release's image and variables",
  params: ServicePath,
  body: z.strictObject({
    command: CommandText,
    deadlineMs: z.int().min(1000).max(MAX_TASK_DEADLINE_MS).default(DEFAULT_TASK_DEADLINE_MS),
  }),
  reply: NewTask,
});
export const cancelTask = route({
  method: "POST",
  path: `${SERVICE}/tasks/:task/cancel`,
  role: "member",
  summary: "Stop a cron's run or a command",
  params: TaskPath,
  reply: Task,
});
