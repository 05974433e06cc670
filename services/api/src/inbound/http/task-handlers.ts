/** Crons and commands: what there is and what became of it, and orders to run something once. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { ServiceChanged } from "@berth/shared/contracts/release.ts";
import { nextInstantMs } from "@berth/shared/kit/cron.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { audited } from "../../outbound/audited.ts";
import { lockService } from "../../outbound/release-store.ts";
import type { Db, Trx } from "../../outbound/tables.ts";
import { readLastRuns, readServingTasks, readTask, readTasks } from "../../outbound/task-store.ts";
import { notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly outbox: Pick<OutboxRelay, "wake">;
}

type TaskHandlers = Pick<
  Handlers,
  "listCrons" | "runCron" | "listTasks" | "showTask" | "runTask" | "cancelTask"
>;

export function taskHandlers(given: Given): TaskHandlers {
  const { db } = given;
  return {
    listCrons: (asked) => listCrons(given, asked),
    runCron: (asked) => runCron(given, asked),
    listTasks: async ({ object, query }) => ({ tasks: await readTasks(db, object.serviceId, query) }),
    showTask: ({ object, params }) => mustReadTask(db, object, params.task),
    runTask: (asked) => runTask(given, asked),
    cancelTask: (asked) => cancelTask(given, asked),
  };
}

type Named = Asked<"showTask">["object"];

async function mustReadTask(db: Db | Trx, { serviceId, service }: Named, taskId: string) {
  const task = await readTask(db, serviceId, taskId);
  if (task === undefined) throw notFound(`task ${taskId} of ${service}; see: berth tasks list ${service}`);
  return task;
}

async function listCrons({ db }: Given, { object }: Asked<"listCrons">) {
  const serving = await readServingTasks(db, object.serviceId);
  if (serving === undefined) return { release: null, crons: [] };
  const last = await readLastRuns(db, object.serviceId);
  const nowMs = Date.now();
  const crons = Object.entries(serving.tasks.cron).map(([name, cron]) => ({
    ...{ name, ...cron },
    nextAtMs: nextInstantMs(cron.schedule, cron.timezone, nowMs),
    lastRun: last.get(name) ?? null,
  }));
  return { release: serving.release, crons };
}

async function mustReadServing(trx: Trx, { serviceId, service }: Named) {
  const serving = await readServingTasks(trx, serviceId);
  if (serving === undefined) throw new BerthError("conflict", `${service} serves no release yet`);
  return serving;
}

async function runCron(given: Given, asked: Asked<"runCron">) {
  const { object, params, actor } = asked;
  const reply = await audited(given.db, actor, async (trx) => {
    const { tasks, release } = await mustReadServing(trx, object);
    const cron = tasks.cron[params.cron];
    if (cron === undefined) {
      const known = Object.keys(tasks.cron).join(", ") || "none";
      throw notFound(`cron ${params.cron} in v${release} of ${object.service}; it has: ${known}`);
    }
    const { command, deadlineMs } = cron;
    const taskId = await order(trx, asked, { kind: "cron", name: params.cron, command, deadlineMs });
    const details = { cron: params.cron, taskId };
    return {
      result: { taskId },
      act: { action: "cron.run", target: object.serviceId, orgId: object.orgId, details },
    };
  });
  given.outbox.wake();
  return reply;
}

/** The command stays out of the audit: it may name what nobody else should read. */
async function runTask(given: Given, asked: Asked<"runTask">) {
  const { object, body, actor } = asked;
  const reply = await audited(given.db, actor, async (trx) => {
    await mustReadServing(trx, object);
    const taskId = await order(trx, asked, { kind: "run", name: null, ...body });
    const act = { action: "command.run", target: object.serviceId, orgId: object.orgId, details: { taskId } };
    return { result: { taskId }, act };
  });
  given.outbox.wake();
  return reply;
}

interface Order {
  readonly kind: "cron" | "run";
  readonly name: string | null;
  readonly command: string;
  readonly deadlineMs: number;
}

async function order(
  trx: Trx,
  { object, actor }: Pick<Asked<"runTask">, "object" | "actor">,
  { kind, name, command, deadlineMs }: Order,
) {
  const service = await lockService(trx, object.serviceId);
  if (service === undefined) throw notFound(`service ${object.service}`);
  const id = newId("task");
  await trx
    .insertInto("task_orders")
    .values({
      ...{ id, service_id: service.id, kind, name, command },
      ...{ deadline_ms: deadlineMs, requested_by: actor.actor },
    })
    .execute();
  await addToOutbox(trx, ServiceChanged, { serviceId: service.id, revision: newId("decision") });
  return id;
}

async function cancelTask(given: Given, { object, params, actor }: Asked<"cancelTask">) {
  const task = await audited(given.db, actor, async (trx) => {
    const { kind, name, command, state } = await mustReadTask(trx, object, params.task);
    if (kind === "release")
      throw new BerthError("conflict", "a release phase ends with its deploy: berth deploys cancel");
    if (state !== "running" && state !== "waiting")
      throw new BerthError("conflict", `it has ended: ${state}`);
    const service = await lockService(trx, object.serviceId);
    if (service === undefined) throw notFound(`service ${object.service}`);
    // A run of the schedule has no order: this one only says that it is not wanted.
    await trx
      .insertInto("task_orders")
      .values({
        ...{ id: params.task, service_id: service.id, kind, name, command },
        ...{ deadline_ms: 1000, requested_by: actor.actor, cancelled_at: new Date() },
      })
      .onConflict((conflict) => conflict.column("id").doUpdateSet({ cancelled_at: new Date() }))
      .execute();
    await addToOutbox(trx, ServiceChanged, { serviceId: service.id, revision: newId("decision") });
    const act = { action: "task.cancelled", target: params.task, orgId: object.orgId };
    return { result: await mustReadTask(trx, object, params.task), act };
  });
  given.outbox.wake();
  return task;
}
