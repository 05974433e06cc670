/** The service of `bench deploy` in its lab, and what is looked at in the record. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { LabPod } from "@berth/infra/lab/lab-pod.ts";
import { ensureService } from "@berth/infra/pod/ensure-service.ts";
import { changeMaintenance, changeVars, scaleService } from "@berth/shared/contracts/http/api.ts";
import { type ApiTarget, callRoute } from "@berth/shared/contracts/http/client.ts";
import type pg from "pg";
import { connectRecord } from "../kit/connect-record.ts";
import { pushApp } from "./app.ts";

const deployTimeoutMs = 120_000;
const lookEveryMs = 50;

export interface DeploySite {
  readonly hostname: string;
  /** `address:port` of the instances in rotation. */
  backends(): Promise<string[]>;
  /** A new release of the same image, until its last old instance has ended. @returns ms */
  deploy(): Promise<number>;
  /** Changes the table of a service without load. @returns ms from the stored table to the last edge's word */
  changeRoute(on: boolean): Promise<number>;
  close(): Promise<void>;
}

export async function makeSite({ pod }: LabPod, folder: string, scale: number): Promise<DeploySite> {
  const call: ApiTarget = { apiUrl: pod.apiUrl, token: pod.adminToken, timeoutMs: 10_000 };
  const run = Date.now().toString(36);
  const params = { org: `deploy-${run}`, environment: "bench", service: "app" };
  const quiet = { ...params, environment: "quiet", service: "routed" };
  const service = await ensureService(call, params);
  const routed = await ensureService(call, quiet);
  await pushApp(join(folder, "app"), service.gitUrl, pod.adminToken);
  const db = await connectRecord(pod.runDir);
  await callRoute(call, scaleService, { params, body: { processes: [{ process: "web", scale }] } });
  const backends = async (): Promise<string[]> => {
    const { rows } = await db.query<{ backend: string }>(
      `select address || ':' || port as backend from scheduler.jobs
        where service_id = $1 and ready and rotation = 'in' and state = 'running' order by slot`,
      [service.id],
    );
    return rows.map(({ backend }) => backend);
  };
  await until(
    "all instances",
    async () => (await backends()).length === scale && (await atRest(db, service.id, scale)),
  );
  let deploys = 0;
  return {
    hostname: service.hostname,
    backends,
    deploy: async () => {
      const startedMs = performance.now();
      const set = { DEPLOY: `${run}.${deploys++}` };
      const { deployId } = await callRoute(call, changeVars, { params, body: { set } });
      await until(`deploy ${deployId}`, async () => {
        const { rows } = await db.query<{ state: string; reason: string | null }>(
          "select state, reason from scheduler.deploys where id = $1",
          [deployId],
        );
        const [row] = rows;
        if (row?.state === "failed") throw new Error(`deploy ${deployId} failed: ${row.reason}`);
        return row?.state === "succeeded" && (await atRest(db, service.id, scale));
      });
      return performance.now() - startedMs;
    },
    changeRoute: async (on) => {
      const version = (await tableOf(db, routed.id))?.version ?? 0;
      await callRoute(call, changeMaintenance, { params: quiet, body: { on } });
      let took = 0;
      await until("every edge's word", async () => {
        const row = await tableOf(db, routed.id);
        took = row?.tookMs ?? 0;
        return row !== undefined && row.version > version && row.acknowledged;
      });
      return took;
    },
    close: () => db.end(),
  };
}

/** No more jobs than there should be: what a deploy replaced has ended. */
async function atRest(db: pg.Pool, serviceId: string, scale: number): Promise<boolean> {
  const { rows } = await db.query<{ count: number }>(
    "select count(*)::int as count from scheduler.jobs where service_id = $1 and state not in ('finished', 'failed')",
    [serviceId],
  );
  return rows[0]?.count === scale;
}

interface TableRow {
  readonly version: number;
  readonly acknowledged: boolean;
  readonly tookMs: number;
}

async function tableOf(db: pg.Pool, serviceId: string): Promise<TableRow | undefined> {
  const { rows } = await db.query<TableRow>(
    `select t.version, t.acknowledged_version = t.version as acknowledged,
            (extract(epoch from t.acknowledged_at - t.changed_at) * 1000)::float8 as "tookMs"
       from router.route_tables t join api.services s on s.environment_id = t.environment_id where s.id = $1`,
    [serviceId],
  );
  return rows[0];
}

async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const endAtMs = performance.now() + deployTimeoutMs;
  while (!(await look())) {
    if (performance.now() > endAtMs) throw new Error(`${what}: not there after ${deployTimeoutMs / 1000} s`);
    await delay(lookEveryMs);
  }
}
