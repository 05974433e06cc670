/**
 * Many environments with a small app each, of one image that is on every host already: nothing is built or pulled.
 *
 * Environment and service are made by the API. Their first release is a copy of another service's in the record, which
 * stands for a push; auction, networks, starts and routes are the platform's own.
 */
import { readProcesses } from "@berth/infra/supervisor/process-spec.ts";
import {
  createEnvironment,
  createService,
  removeService,
  sleepService,
} from "@berth/shared/contracts/http/api.ts";
import { type ApiTarget, callRoute } from "@berth/shared/contracts/http/client.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import pg from "pg";
import { until } from "../git/until.ts";
import { type NetworkApp, type NetworkLab, ORG } from "./network-lab.ts";

export interface ManyGiven {
  readonly count: number;
  /** Of each environment's app. */
  readonly instances: number;
  /** Each app is put to sleep as soon as it serves: its hosts stay in the environment's network, and nothing runs there. */
  readonly asleep?: boolean;
  /** Apps of each environment; default 1. */
  readonly appsEach?: number;
  /** Default the network lab's. */
  readonly org?: string;
  /** So many environments are asked for before those that were asked for run; default all. */
  readonly atOnce?: number;
  /** More are not asked for sooner than so long after those before; default at once when those before run. */
  readonly everyMs?: number;
  readonly say: (line: string) => void;
}

export interface ManyEnvironments {
  /** One for each app, in the order in which they were made. `app` is the service's name, `service` its id. */
  readonly environments: readonly {
    readonly name: string;
    readonly app: string;
    readonly service: string;
    readonly id: string;
  }[];
  /** Removes their services: their hosts leave. */
  remove(): Promise<void>;
}

const readyTimeoutMs = 600_000;
/** The record is asked; what is measured has the machine for itself between. */
const lookEveryMs = 200;
const name = "idle";

export async function makeEnvironments(
  lab: Pick<NetworkLab, "pod">,
  template: Pick<NetworkApp, "id">,
  given: ManyGiven,
): Promise<ManyEnvironments> {
  const { count, instances, appsEach = 1, org = ORG, atOnce = count, everyMs = 0, say } = given;
  const { asleep = false } = given;
  const call = { apiUrl: lab.pod.apiUrl, token: lab.pod.adminToken, timeoutMs: 30_000 };
  const record = await openRecord(lab);
  const made: { name: string; app: string; service: string; id: string }[] = [];
  let environments = 0;
  const run = Date.now().toString(36);
  try {
    const startMs = performance.now();
    let nextMs = startMs;
    while (environments < count) {
      const services: { id: string; params: { org: string; environment: string; service: string } }[] = [];
      await sleep(Math.max(0, nextMs - performance.now()));
      nextMs = performance.now() + everyMs;
      const goal = Math.min(environments + atOnce, count);
      for (; environments < goal; environments += 1) {
        const environment = `many-${run}-${environments + 1}`;
        const params = { org, environment };
        await callRoute(call, createEnvironment, { params: { org }, body: { name: environment } });
        for (let app = 0; app < appsEach; app += 1) {
          const body = { name: app === 0 ? name : `${name}-${app}`, deployBranch: "main", healthPath: null };
          const { id } = await callRoute(call, createService, { params, body });
          services.push({ id, params: { ...params, service: body.name } });
        }
      }
      const ids = services.map(({ id }) => id);
      await record.release(template.id, ids, instances);
      await record.untilServing(ids, instances, readyTimeoutMs);
      for (const { params } of asleep ? services : []) await orderSleep(call, params);
      if (asleep) await record.untilAsleep(ids, instances, readyTimeoutMs);
      for (const id of ids) made.push(await record.environmentOf(id));
      const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
      say(`${environments} of ${count} environments run after ${seconds} s`);
    }
  } finally {
    await record.close();
  }
  return {
    environments: made,
    remove: async () => {
      for (const { name: environment, app: service } of made)
        await callRoute(call, removeService, { params: { org, environment, service } });
    },
  };
}

/** Its first deploy may have the last step still to come. */
async function orderSleep(
  call: ApiTarget,
  params: { readonly org: string; readonly environment: string; readonly service: string },
): Promise<void> {
  await until(
    `${params.service} of ${params.environment} to be told to sleep`,
    async () => {
      try {
        await callRoute(call, sleepService, { params, body: { level: "stopped" } });
        return true;
      } catch (error) {
        if ((error as { code?: unknown }).code !== "conflict") throw error;
        return undefined;
      }
    },
    readyTimeoutMs,
    lookEveryMs,
  );
}

async function openRecord(lab: Pick<NetworkLab, "pod">) {
  const processes = await readProcesses(lab.pod.runDir);
  const pool = (service: string): pg.Pool => {
    const connectionString = processes.find((one) => one.name === service)?.env.BERTH_DATABASE_URL;
    if (connectionString === undefined) throw new Error(`${service} has no database`);
    const made = new pg.Pool({ connectionString, max: 1, query_timeout: 30_000 });
    made.on("error", () => {}); // whoever asks next hears of it; the end of the lab ends idle connections too
    return made;
  };
  const [api, scheduler] = [pool("api"), pool("scheduler")];
  const untilAll = async (
    services: readonly string[],
    instances: number,
    condition: string,
    timeoutMs: number,
  ): Promise<void> => {
    const wanted = services.length * instances;
    await until(
      `${wanted} instances with ${condition}`,
      async () => {
        const { rows } = await scheduler.query<{ count: string }>(
          `select count(*) from scheduler.jobs where service_id = any($1) and ${condition}`,
          [services],
        );
        return Number(rows[0]?.count) >= wanted ? true : undefined;
      },
      timeoutMs,
      lookEveryMs,
    );
  };
  return {
    close: async () => {
      await Promise.all([api.end(), scheduler.end()]);
    },
    environmentOf: async (service: string) => {
      const { rows } = await api.query<{ name: string; id: string; app: string }>(
        "select e.name, e.id, s.name as app from api.environments e join api.services s on s.environment_id = e.id where s.id = $1",
        [service],
      );
      const [row] = rows;
      if (row === undefined) throw new Error(`${service} has no environment`);
      return { ...row, service };
    },
    /** The template's current release and sizes, once more. */
    release: async (template: string, services: readonly string[], scale: number): Promise<void> => {
      for (const service of services) {
        const [id, deploy] = [newId("release"), newId("deploy")];
        await api.query(
          `with settings as (
             insert into api.processes
             select (jsonb_populate_record(p, jsonb_build_object('service_id', $2::text, 'scale', $5::int))).*
               from api.processes p where p.service_id = $1
             on conflict (service_id, process) do update set scale = excluded.scale,
               memory_bytes = excluded.memory_bytes, cpu_millis = excluded.cpu_millis,
               disk_bytes = excluded.disk_bytes returning 1),
           release as (
             insert into api.releases
             select (jsonb_populate_record(r, jsonb_build_object('id', $3::text, 'service_id', $2::text,
                      'deploy_id', $4::text, 'version', 1))).*
               from api.releases r join api.services s on s.current_release_id = r.id where s.id = $1 returning 1)
           update api.services set current_release_id = $3 where id = $2`,
          [template, service, id, deploy, scale],
        );
      }
    },
    untilServing: (services: readonly string[], instances: number, timeoutMs: number) =>
      untilAll(services, instances, "ready and rotation = 'in'", timeoutMs),
    untilAsleep: (services: readonly string[], instances: number, timeoutMs: number) =>
      untilAll(services, instances, "state = 'asleep'", timeoutMs),
  };
}
