/** One service of a tiny app in the lab: put to sleep and woken by the API, looked at in the record. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { LabPod } from "@berth/infra/lab/lab-pod.ts";
import { ensureService } from "@berth/infra/pod/ensure-service.ts";
import { serviceStatus, sleepService } from "@berth/shared/contracts/http/api.ts";
import { type ApiTarget, callRoute } from "@berth/shared/contracts/http/client.ts";
import type { SleepLevel, SleepState } from "@berth/shared/domain/sleep.ts";
import type pg from "pg";
import { TinyApp } from "../../faults/tiny-app.ts";
import { connectRecord } from "../kit/connect-record.ts";

const settleMs = 60_000;
const lookEveryMs = 20;

export interface Sleeper {
  readonly org: string;
  readonly serviceId: string;
  /** Of the scheduler's user, which reads what it needs of others. */
  readonly db: pg.Pool;
  readonly hostname: string;
  /** The lab host that has its one instance. */
  readonly holder: string;
  /** Orders the sleep and comes back once the record has it. */
  order(level: SleepLevel): Promise<void>;
  /** Until it sleeps on its host too, or is awake and served by every edge. */
  until(state: Extract<SleepState, "asleep" | "awake">): Promise<void>;
  /** Kinds of events of its sleep since the last call, counted. */
  events(): Promise<Record<string, number>>;
  close(): Promise<void>;
}

export async function makeSleeper({ pod }: LabPod, folder: string): Promise<Sleeper> {
  const call: ApiTarget = { apiUrl: pod.apiUrl, token: pod.adminToken };
  const run = Date.now().toString(36);
  const org = `wake-${run}`;
  const params = { org, environment: "bench", service: `app-${run}` };
  const service = await ensureService(call, params);
  const app = await TinyApp.make(join(folder, "app"));
  await app.commit(run);
  const pushed = await app.push(service.gitUrl, pod.adminToken);
  if (!pushed.ok) throw new Error(`the app was not deployed:\n${pushed.output}`);
  const db = await connectRecord(pod.runDir);
  const { instances } = await callRoute(call, serviceStatus, { params });
  const holder = instances.find(({ ready }) => ready)?.host;
  if (holder == null) throw new Error("the app has no instance that is ready");
  let seen = 0;
  return {
    ...{ org, serviceId: service.id, db },
    hostname: service.hostname,
    holder,
    order: async (level) => void (await callRoute(call, sleepService, { params, body: { level } })),
    until: (state) => untilState(db, service.id, state),
    events: async () => {
      const { rows } = await db.query<{ id: string; kind: string }>(
        "select id, kind from scheduler.events where service_id = $1 and id > $2 and kind like 'sleep.%' order by id",
        [service.id, seen],
      );
      seen = Number(rows.at(-1)?.id ?? seen);
      const counts: Record<string, number> = {};
      for (const { kind } of rows) counts[kind] = (counts[kind] ?? 0) + 1;
      return counts;
    },
    close: () => db.end(),
  };
}

/** Not before the table that says so is acknowledged by every edge, and no job is under way. */
const STATE = `
  select z.state, array(select j.state from scheduler.jobs j where j.service_id = $1 and j.desired = 'run'
                          and j.state not in ('finished', 'failed')) as jobs,
         (select t.acknowledged_version = t.version and exists (
            select 1 from jsonb_array_elements(t.sites) s where s->>'serviceId' = $1
               and (s ? 'sleep') = (z.state <> 'awake') and (z.state <> 'awake' or jsonb_array_length(s->'backends') > 0))
            from router.route_tables t join api.services a on a.environment_id = t.environment_id where a.id = $1) as routed
    from scheduler.sleeps z where z.service_id = $1
     and not exists (select 1 from api.sleep_orders o where o.service_id = $1
                       and (z.order_at is null or z.order_at < o.requested_at))`;

async function untilState(db: pg.Pool, serviceId: string, wanted: "asleep" | "awake"): Promise<void> {
  const rests = wanted === "asleep" ? ["asleep", "frozen"] : ["running"];
  const endAtMs = performance.now() + settleMs;
  for (;;) {
    const { rows } = await db.query<{ state: SleepState; jobs: string[]; routed: boolean }>(STATE, [
      serviceId,
    ]);
    const row = rows[0];
    const atRest = row?.jobs.length === 1 && row.jobs.every((state) => rests.includes(state));
    if (row?.state === wanted && atRest && row.routed) return;
    if (performance.now() > endAtMs)
      throw new Error(`not ${wanted} after ${settleMs / 1000} s: ${JSON.stringify(row)}`);
    await delay(lookEveryMs);
  }
}
