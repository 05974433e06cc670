/** Berth's arm: one service of a tiny app, scaled by the API; its jobs' own stages tell where the time went. */
import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { edgePaths } from "@berth/infra/host/processes.ts";
import { hostBerthDir, type LabPod } from "@berth/infra/lab/lab-pod.ts";
import {
  createEnvironment,
  createOrg,
  createService,
  scaleService,
} from "@berth/shared/contracts/http/api.ts";
import { type ApiTarget, callRoute } from "@berth/shared/contracts/http/client.ts";
import type pg from "pg";
import { z } from "zod";
import { isSlotName } from "../../../services/agent/src/edge/core/edge-state.ts";
import { TinyApp } from "../../faults/tiny-app.ts";
import { connectRecord } from "../kit/connect-record.ts";
import { type Arm, limits, type Site, scaleTimeoutMs } from "./arm.ts";
import { addressesOf } from "./engine.ts";
import { type Interval, shareWall } from "./share-wall.ts";

const edgeTimeoutMs = 5000;
const queryTimeoutMs = 10_000;
const lookEveryMs = 100;
const networks = z.array(z.object({ Name: z.string() }));
const containers = z.array(z.object({ ImageID: z.string() }));

export interface BerthArm extends Arm {
  /** The image that Berth built, by its id: the other arms run the same. */
  readonly imageId: string;
}

/** Pushed, and run once on every host, so that the measured scaling pulls nothing. */
export async function berthArm(labPod: LabPod, sites: readonly Site[], folder: string): Promise<BerthArm> {
  const { pod, lab } = labPod;
  const call: ApiTarget = { apiUrl: pod.apiUrl, token: pod.adminToken };
  const run = Date.now().toString(36);
  const org = `scale-${run}`;
  const params = { org, environment: "bench", service: `app-${run}` };
  await callRoute(call, createOrg, { body: { name: org } });
  await callRoute(call, createEnvironment, { params: { org }, body: { name: params.environment } });
  const service = await callRoute(call, createService, {
    params,
    body: { name: params.service, deployBranch: "main", healthPath: null },
  });
  const scale = async (replicas: number): Promise<void> => {
    const body = { processes: [{ process: "web", scale: replicas, ...limits }] };
    await callRoute(call, scaleService, { params, body });
  };
  await scale(sites.length);
  const app = await TinyApp.make(join(folder, "app"));
  await app.commit(run);
  const pushed = await app.push(service.gitUrl, pod.adminToken);
  if (!pushed.ok) throw new Error(`the app was not deployed:\n${pushed.output}`);
  const db = await connectRecord(pod.runDir, queryTimeoutMs);
  const sockets = lab.hosts.map((host) => edgePaths(hostBerthDir(host)).socket);
  try {
    const network = await networkOf(sites);
    return {
      name: "Berth",
      network,
      imageId: await imageOf(sites, network),
      scale,
      settled: (replicas) => untilRouted(sockets, replicas),
      explain: async (startedAtMs, wallMs) =>
        shareWall(await readStages(db, service.id, startedAtMs), startedAtMs, wallMs),
      close: () => db.end(),
    };
  } catch (error) {
    await db.end();
    throw error;
  }
}

/** Every host has exactly the one environment's, and it has the same name on all. */
async function networkOf(sites: readonly Site[]): Promise<string> {
  const filters = encodeURIComponent(JSON.stringify({ label: ["berth.network=environment"] }));
  const found = await Promise.all(
    sites.map(({ engine }) => engine.ask(networks, "GET", `/networks?filters=${filters}`)),
  );
  const names = new Set(found.flat().map(({ Name }) => Name));
  const [name] = names;
  if (name === undefined || names.size > 1)
    throw new Error(
      `the hosts have ${names.size} networks of environments, not one: ${[...names].join(", ")}`,
    );
  return name;
}

/** @throws Error when a host has no replica: the scaling would then pull the image */
async function imageOf(sites: readonly Site[], network: string): Promise<string> {
  const ids = new Set<string>();
  for (const { name, engine } of sites) {
    if ((await addressesOf(engine, network)).size === 0)
      throw new Error(`${name} runs no replica after the warm-up, so it has no image`);
    const filters = encodeURIComponent(JSON.stringify({ label: ["berth.job"] }));
    const listed = await engine.ask(containers, "GET", `/containers/json?filters=${filters}`);
    for (const { ImageID } of listed) ids.add(ImageID);
  }
  const [id] = ids;
  if (id === undefined || ids.size > 1) throw new Error(`the hosts run ${ids.size} images, not one`);
  return id;
}

/** Every edge has so many servers in rotation. @throws Error at the deadline, with each edge's number */
async function untilRouted(sockets: readonly string[], replicas: number): Promise<void> {
  const endAtMs = performance.now() + scaleTimeoutMs;
  for (;;) {
    const counts = await Promise.all(sockets.map(serversUp));
    if (counts.every((count) => count === replicas)) return;
    if (performance.now() > endAtMs)
      throw new Error(
        `the edges did not come to ${replicas} servers in ${scaleTimeoutMs / 1000} s: ${counts}`,
      );
    await delay(lookEveryMs);
  }
}

/** Instances that the proxy sends requests to: servers of sites that are up, neither drained nor in maintenance. */
async function serversUp(socketPath: string): Promise<number> {
  const lines = (await askProxy(socketPath, "show stat -1 4 -1")).trim().split("\n");
  const columns = (lines[0] ?? "").replace(/^#\s*/, "").split(",");
  const [proxy, status] = [columns.indexOf("pxname"), columns.indexOf("status")];
  if (proxy < 0 || status < 0) throw new Error(`${socketPath}: 'show stat' has no pxname or status`);
  const rows = lines.slice(1).map((line) => line.split(","));
  return rows.filter((row) => isSlotName(row[proxy] ?? "") && /^(UP|no check)/.test(row[status] ?? ""))
    .length;
}

function askProxy(socketPath: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connectSocket(socketPath, () => socket.write(`${text}\n`));
    socket.setEncoding("utf8");
    socket.setTimeout(edgeTimeoutMs, () => socket.destroy(new Error(`${socketPath}: no answer in time`)));
    socket.on("data", (chunk: string) => {
      answer += chunk;
    });
    socket.once("error", reject);
    socket.once("end", () => resolve(answer));
  });
}

const jobRow = z.object({
  stages: z.array(z.object({ name: z.string(), startedAtMs: z.number(), endedAtMs: z.number() })),
  routedAtMs: z.number().nullable(),
});

/** The jobs that were made since; `route` is from ready until the scheduler knew it in rotation. */
async function readStages(db: pg.Pool, serviceId: string, sinceMs: number): Promise<Interval[]> {
  const { rows } = await db.query(
    `select stages, case when rotation = 'in' then extract(epoch from rotation_since)::float8 * 1000 end as "routedAtMs"
       from scheduler.jobs where service_id = $1 and created_at >= to_timestamp($2::float8 / 1000)`,
    [serviceId, sinceMs],
  );
  return z
    .array(jobRow)
    .parse(rows)
    .flatMap(({ stages, routedAtMs }) => {
      const ready = stages.find(({ name }) => name === "ready");
      if (ready === undefined || routedAtMs === null) return stages;
      return [...stages, { name: "route", startedAtMs: ready.endedAtMs, endedAtMs: routedAtMs }];
    });
}
