/** `berth cron`, `berth run` and `berth tasks`: what runs once and ends. */
import { setTimeout as delay } from "node:timers/promises";
import { TaskId } from "@berth/shared/domain/ids.ts";
import type { Command } from "commander";
import type { Answer, Client } from "../client.ts";
import { joinCommand } from "../core/join-command.ts";
import { formatDuration, parseDuration } from "../core/parse-duration.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, printTable, say } from "../output/print.ts";
import { withProgress } from "../output/progress.ts";
import { age, duration, table } from "../output/table.ts";
import { CliError, usageError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, wholeNumber, withEnv } from "./common.ts";

type Task = Answer<"showTask">;
type Service = Awaited<ReturnType<typeof findService>>;

const LOOK_MS = 500;

export function registerTaskCommands(program: Command): void {
  const cron = program.command("cron").description("what the release that serves runs by a schedule");
  examples(
    withEnv(cron.command("list [service]", { isDefault: true }))
      .description("crons with their next and their last run")
      .action(listCrons),
    "berth cron list shop",
  );
  examples(
    withEnv(cron.command("run <service> <cron>"))
      .description("run a cron now, besides its schedule, and wait for its end")
      .option("-d, --detach", "do not wait for its end")
      .action(runCron),
    "berth cron run shop nightly-report",
  );
  examples(
    withEnv(cron.command("history <service> [cron]"))
      .description("runs of the crons, newest first: exit code, how long, why not")
      .option("-n, --limit <count>", "how many", wholeNumber(1, 200), 20)
      .action(history),
    "berth cron history shop",
    "berth cron history shop nightly-report -n 5",
  );
  examples(
    withEnv(program.command("run <service> <command...>"))
      .description("run a command once, with the serving release's image and variables, and wait for its end")
      .option("--deadline <time>", "kill it after this long, up to 24h", "1h")
      .option("-d, --detach", "do not wait for its end")
      .action(runTask),
    "berth run shop -- node migrate.js --all",
    'berth run shop --deadline 10m -- "ls -l /app | wc -l"',
  );
  registerTaskGroup(program);
}

function registerTaskGroup(program: Command): void {
  const tasks = program
    .command("tasks")
    .description("what ran once: release phases, crons, commands of `berth run`");
  examples(
    withEnv(tasks.command("list [service]", { isDefault: true }))
      .description("tasks, newest first")
      .option("-n, --limit <count>", "how many", wholeNumber(1, 200), 20)
      .action(listTasks),
    "berth tasks list shop",
  );
  examples(
    withEnv(tasks.command("show <service> <task>"))
      .description("one task with what it printed last")
      .action(showTask),
    "berth tasks show shop tsk_01k…",
  );
  examples(
    withEnv(tasks.command("cancel <service> <task>"))
      .description("stop a cron's run or a command")
      .action(cancelTask),
    "berth tasks cancel shop tsk_01k…",
  );
}

async function listCrons(name: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("listCrons", { params });
  if (flags.json === true) return printJson(reply);
  type Cron = (typeof reply.crons)[number];
  const nowMs = Date.now();
  const columns = [
    { title: "CRON", cell: (c: Cron) => c.name },
    { title: "SCHEDULE", cell: (c: Cron) => clean(`${c.schedule} ${c.timezone}`) },
    { title: "NEXT", cell: (c: Cron) => (c.nextAtMs === null ? "never" : `in ${age(nowMs, c.nextAtMs)}`) },
    {
      title: "LAST",
      cell: (c: Cron) =>
        c.lastRun === null ? null : `${c.lastRun.state} ${age(c.lastRun.createdAtMs, nowMs)} ago`,
    },
    { title: "OVERLAP", cell: (c: Cron) => c.overlap },
    { title: "DEADLINE", cell: (c: Cron) => formatDuration(c.deadlineMs) },
    { title: "COMMAND", cell: (c: Cron) => clean(c.command).slice(0, 60) },
  ];
  const whenEmpty =
    reply.release === null
      ? `${params.service} serves no release yet`
      : `v${reply.release} of ${params.service} has no cron; they are set in berth.yaml`;
  printTable(table(columns, reply.crons), whenEmpty);
}

async function history(
  name: string,
  cron: string | undefined,
  flags: EnvFlags & { limit: number },
): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const query = { limit: flags.limit, kind: "cron" as const, ...(cron === undefined ? {} : { name: cron }) };
  const reply = await client.call("listTasks", { params, query });
  if (flags.json === true) return printJson(reply);
  printTasks(reply.tasks, `no cron of ${params.service} has run yet`);
}

async function listTasks(name: string | undefined, flags: EnvFlags & { limit: number }): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("listTasks", { params, query: { limit: flags.limit } });
  if (flags.json === true) return printJson(reply);
  printTasks(reply.tasks, `${params.service} has run nothing yet`);
}

function printTasks(tasks: readonly Task[], whenEmpty: string): void {
  const nowMs = Date.now();
  const columns = [
    { title: "TASK", cell: (t: Task) => t.id },
    { title: "WHAT", cell: (t: Task) => clean(t.name ?? t.kind) },
    {
      title: "FOR",
      cell: (t: Task) => (t.scheduledAtMs === null ? null : new Date(t.scheduledAtMs).toISOString()),
    },
    { title: "AGE", align: "right" as const, cell: (t: Task) => age(t.createdAtMs, nowMs) },
    { title: "TOOK", align: "right" as const, cell: (t: Task) => tookOf(t) },
    { title: "EXIT", align: "right" as const, cell: (t: Task) => t.exitCode },
    { title: "STATE", cell: (t: Task) => t.state },
    { title: "REASON", cell: (t: Task) => clean(t.reason?.split("\n")[0] ?? "").slice(0, 60) },
    { title: "PRINTED LAST", cell: (t: Task) => clean(t.lastLines.at(-1) ?? "").slice(0, 60) },
  ];
  printTable(table(columns, tasks), whenEmpty);
}

function tookOf({ state, createdAtMs, finishedAtMs }: Task): string | null {
  return finishedAtMs === null || state === "skipped" ? null : duration(finishedAtMs - createdAtMs);
}

async function showTask(name: string, task: string, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = { ...(await findService(client, name, flags.env)), task: taskOf(task) };
  const reply = await client.call("showTask", { params });
  if (flags.json === true) return printJson(reply);
  print(`task       ${reply.id}, ${clean(reply.instance ?? reply.kind)}, ${reply.state}`);
  print(`command    ${clean(reply.command)}`);
  if (reply.name !== null) print(`cron       ${clean(reply.name)}`);
  if (reply.release !== null) print(`release    v${reply.release}`);
  if (reply.host !== null) print(`host       ${clean(reply.host)}`);
  if (reply.exitCode !== null) print(`exit code  ${reply.exitCode}`);
  if (reply.reason !== null) print(`reason     ${clean(`${reply.reasonCode ?? ""}: ${reply.reason}`)}`);
  for (const line of reply.lastLines) print(`           ${clean(line)}`);
}

async function cancelTask(name: string, task: string, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = { ...(await findService(client, name, flags.env)), task: taskOf(task) };
  const reply = await client.call("cancelTask", { params });
  if (flags.json === true) return printJson(reply);
  say(`${reply.id} is being stopped`);
}

function taskOf(text: string): string {
  if (!TaskId.safeParse(text).success)
    throw usageError(`${JSON.stringify(text)} is not the id of a task`, "See `berth tasks list`.");
  return text;
}

interface RunFlags extends EnvFlags {
  readonly detach?: boolean;
}

async function runCron(name: string, cron: string, flags: RunFlags): Promise<void> {
  const client = await connect();
  const service = await findService(client, name, flags.env);
  const { taskId } = await client.call("runCron", { params: { ...service, cron } });
  await conclude(client, service, taskId, flags);
}

async function runTask(name: string, words: string[], flags: RunFlags & { deadline: string }): Promise<void> {
  const deadlineMs = parseDuration(flags.deadline);
  if (deadlineMs == null)
    throw usageError(`${JSON.stringify(flags.deadline)} is not a length of time`, "Write it like 10m or 2h.");
  const client = await connect();
  const service = await findService(client, name, flags.env);
  const body = { command: joinCommand(words), deadlineMs };
  const { taskId } = await client.call("runTask", { params: service, body });
  await conclude(client, service, taskId, flags);
}

/** @throws CliError when it did not end well */
async function conclude(client: Client, service: Service, taskId: string, flags: RunFlags): Promise<void> {
  if (flags.detach === true) {
    if (flags.json === true) return printJson({ taskId });
    return say(`look at it with: berth tasks show ${service.service} ${taskId}`);
  }
  const params = { ...service, task: taskId };
  const task = await withProgress(`${taskId} runs`, untilEnded(client, params));
  if (flags.json === true) printJson(task);
  else for (const line of task.lastLines) print(clean(line));
  if (task.state === "succeeded") return;
  const why = [task.reasonCode, task.reason].filter((part) => part !== null).join(": ");
  throw new CliError(`${taskId} is ${task.state}${why === "" ? "" : `, ${clean(why)}`}`, {
    next: `All that it printed: berth logs ${service.service}`,
  });
}

async function untilEnded(client: Client, params: Service & { task: string }): Promise<Task> {
  for (;;) {
    const task = await client.call("showTask", { params });
    if (task.state !== "waiting" && task.state !== "running") return task;
    await delay(LOOK_MS);
  }
}
