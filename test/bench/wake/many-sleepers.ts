/** Many small services of the sleeper's image on the lab's hosts, all put to sleep, and asked one by one through their hosts' edges. */
import { setTimeout as delay } from "node:timers/promises";
import type { LabPod } from "@berth/infra/lab/lab-pod.ts";
import type pg from "pg";
import { makeEnvironments } from "../../network/many-environments.ts";

/** Of one environment, made and put to sleep before the next: only these hold memory at once. */
const perEnvironment = 25;
const settleMs = 300_000;
const lookEveryMs = 100;

export interface Dozer {
  readonly serviceId: string;
  readonly hostname: string;
  /** The lab host that holds its one instance. */
  readonly host: string;
}

export interface ManyGiven {
  readonly labPod: LabPod;
  readonly db: pg.Pool;
  readonly org: string;
  /** The service whose release all of them have. */
  readonly templateId: string;
  readonly say: (line: string) => void;
}

/** @returns so many services more, asleep by the record and by every edge */
export async function makeDozers(given: ManyGiven, count: number): Promise<Dozer[]> {
  const { labPod, db, org, templateId, say } = given;
  const ids: string[] = [];
  const startMs = performance.now();
  while (ids.length < count) {
    const appsEach = Math.min(perEnvironment, count - ids.length);
    const options = { count: 1, instances: 1, appsEach, asleep: true, org, say: () => {} };
    const made = await makeEnvironments(labPod, { id: templateId }, options);
    await untilAsleep(
      db,
      made.environments.map(({ service }) => service),
    );
    ids.push(...made.environments.map(({ service }) => service));
    const seconds = (performance.now() - startMs) / 1000;
    say(`${ids.length} of ${count} asleep after ${seconds.toFixed(0)} s`);
  }
  return await read(db, ids);
}

async function read(db: pg.Pool, ids: readonly string[]): Promise<Dozer[]> {
  const { rows } = await db.query<Dozer>(
    `select j.service_id as "serviceId", h.name as host, s->>'hostname' as hostname
       from scheduler.jobs j join api.hosts h on h.id = j.host_id
       join api.services v on v.id = j.service_id
       join router.route_tables t on t.environment_id = v.environment_id
       cross join jsonb_array_elements(t.sites) s
      where j.service_id = any($1) and j.state = 'asleep' and s->>'serviceId' = j.service_id`,
    [ids],
  );
  if (rows.length !== ids.length) throw new Error(`${rows.length} of ${ids.length} services sleep on a host`);
  return rows;
}

const ASLEEP = `
  select count(*)::int as count from scheduler.sleeps z
    join scheduler.jobs j on j.service_id = z.service_id and j.state = 'asleep'
    join api.services v on v.id = z.service_id
    join router.route_tables t on t.environment_id = v.environment_id and t.acknowledged_version = t.version
   where z.service_id = any($1) and z.state = 'asleep'`;

export async function untilAsleep(db: pg.Pool, ids: readonly string[]): Promise<void> {
  await until(db, ASLEEP, ids, "asleep");
}

const AWAKE = `
  select count(*)::int as count from scheduler.sleeps z
    join scheduler.jobs j on j.service_id = z.service_id and j.state = 'running' and j.ready
   where z.service_id = any($1) and z.state = 'awake'`;

export async function untilAwake(db: pg.Pool, ids: readonly string[]): Promise<void> {
  await until(db, AWAKE, ids, "awake");
}

async function until(db: pg.Pool, query: string, ids: readonly string[], what: string): Promise<void> {
  const endAtMs = performance.now() + settleMs;
  for (;;) {
    const { rows } = await db.query<{ count: number }>(query, [ids]);
    if (rows[0]?.count === ids.length) return;
    if (performance.now() > endAtMs)
      throw new Error(`${rows[0]?.count} of ${ids.length} services are ${what} after ${settleMs / 1000} s`);
    await delay(lookEveryMs);
  }
}
