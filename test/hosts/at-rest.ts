/**
 * What must hold when nothing is going on any more: the record, the engines and the edges say the same. Nothing here
 * believes what an agent or an edge tells of itself: containers are asked of the engine, routes of the proxy.
 */

import { dirname } from "node:path";
import { edgePaths } from "@berth/infra/host/processes.ts";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { hostBerthDir } from "@berth/infra/lab/lab-pod.ts";
import { z } from "zod";
import { edgePaths as edgeFiles } from "../../services/agent/src/edge/shell/edge-files.ts";
import { observeImage } from "../../services/agent/src/edge/shell/proxy-process.ts";
import { RuntimeClient } from "../../services/agent/src/edge/shell/runtime-client.ts";
import type { HostPod } from "./host-pod.ts";

const ContainerLine = z.object({ ID: z.string(), State: z.string(), Labels: z.string() });

export interface Container {
  readonly id: string;
  readonly state: string;
  readonly jobId: string;
  readonly epoch: number;
  readonly serviceId: string;
  readonly deployId: string;
}

export interface JobRow {
  readonly id: string;
  readonly service_id: string;
  readonly deploy_id: string;
  readonly slot: number;
  readonly epoch: number;
  readonly state: string;
  readonly desired: string;
  readonly rotation: string;
  readonly ready: boolean;
  readonly host: string | null;
  readonly backend: string | null;
}

/** Every job that is not over, by the record. */
export async function openJobs(pod: HostPod): Promise<JobRow[]> {
  return await pod.query<JobRow>(
    `select j.id, j.service_id, j.deploy_id, j.slot, j.epoch, j.state, j.desired, j.rotation, j.ready, h.name as host,
            j.address || ':' || j.port as backend
       from scheduler.jobs j left join api.hosts h on h.id = j.host_id
      where j.state not in ('finished', 'failed') order by j.id`,
  );
}

export async function hostStates(pod: HostPod): Promise<Map<string, string>> {
  const rows = await pod.query<{ name: string; state: string }>(
    "select h.name, s.state from api.hosts h join scheduler.hosts_seen s on s.host_id = h.id",
  );
  return new Map(rows.map(({ name, state }) => [name, state]));
}

/** All containers that are jobs, also those that do not run. */
export async function containers(host: LabHost): Promise<Container[]> {
  const filter = ["--filter", "label=berth.job"];
  const command = ["docker", "ps", "--all", "--no-trunc", ...filter, "--format", "{{json .}}"];
  const { code, stdout, stderr } = await host.exec(command, 15_000);
  if (code !== 0) throw new Error(`docker ps on ${host.name}: ${stderr}`);
  const lines = stdout.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const { ID, State, Labels } = ContainerLine.parse(JSON.parse(line));
    const labels = new Map(Labels.split(",").map((one) => one.split("=", 2) as [string, string]));
    const label = (name: string): string => labels.get(`berth.${name}`) ?? "";
    return {
      ...{ id: ID, state: State, jobId: label("job"), epoch: Number(label("epoch")) },
      ...{ serviceId: label("service"), deployId: label("deploy") },
    };
  });
}

/** `host job epoch` of every running container of these hosts, sorted. */
export async function runningJobs(hosts: readonly LabHost[]): Promise<string[]> {
  const lists = await Promise.all(
    hosts.map(async (host) =>
      (await containers(host))
        .filter(({ state }) => state === "running")
        .map(({ jobId, epoch }) => `${host.name} ${jobId} e${epoch}`),
    ),
  );
  return lists.flat().sort();
}

/** Where an edge sends the requests for a host name, as its proxy says: `address:port`, sorted. */
export async function edgeBackends(host: LabHost, hostname: string): Promise<string[]> {
  const { config, socket } = edgePaths(hostBerthDir(host));
  const { map: mapFile, sources: sourcesFile } = edgeFiles(dirname(config));
  const { hosts, servers } = await observeImage(new RuntimeClient(socket), {
    ...{ mapFile, sourcesFile, namesFile: null },
  });
  const slot = hosts.get(hostname);
  if (slot === undefined) return [];
  return servers
    .filter((server) => server.slot === slot && server.admin === "ready")
    .map(({ address, port }) => `${address}:${port}`)
    .sort();
}

/** @returns what is still wrong; nothing when all is as desired */
export async function problems(pod: HostPod): Promise<string[]> {
  const jobs = await openJobs(pod);
  const lists = await Promise.all([
    processProblems(pod),
    recordProblems(pod, jobs),
    ...pod.hosts.map((host) => containerProblems(host, jobs)),
    ...pod.hosts.map((host) => edgeProblems(pod, host, jobs)),
  ]);
  return lists.flat();
}

async function processProblems(pod: HostPod): Promise<string[]> {
  const all = await pod.control.processes();
  return all.filter(({ state }) => state !== "ready").map(({ name, state }) => `${name} is ${state}`);
}

/** One job per slot, running and in rotation; every host heard; no deploy under way. */
async function recordProblems(pod: HostPod, jobs: readonly JobRow[]): Promise<string[]> {
  const found: string[] = [];
  for (const [name, scale] of pod.wanted) {
    const own = jobs.filter((job) => job.service_id === pod.apps[name].id);
    const right = own.filter((job) => job.state === "running" && job.ready && job.rotation === "in");
    const slots = new Set(right.map(({ slot }) => slot)).size;
    if (own.length === scale && right.length === scale && slots === scale) continue;
    const list = own.map((job) => `web.${job.slot} ${job.state} ${job.rotation} on ${job.host}`);
    found.push(`${name} should have ${scale}: ${list.join(", ") || "nothing"}`);
  }
  for (const [name, state] of await hostStates(pod)) if (state !== "alive") found.push(`${name} is ${state}`);
  const open = await pod.query<{ deploy_id: string; state: string }>(
    "select deploy_id, state from scheduler.deploy_overview where not final",
  );
  return [...found, ...open.map((one) => `deploy ${one.deploy_id} is ${one.state}`)];
}

async function containerProblems(host: LabHost, jobs: readonly JobRow[]): Promise<string[]> {
  const expected = jobs
    .filter((job) => job.host === host.name)
    .map((job) => `${job.id} e${job.epoch} running`);
  const present = (await containers(host)).map((one) => `${one.jobId} e${one.epoch} ${one.state}`);
  return difference(`${host.name} runs`, present, expected);
}

async function edgeProblems(pod: HostPod, host: LabHost, jobs: readonly JobRow[]): Promise<string[]> {
  const found: string[] = [];
  for (const app of Object.values(pod.apps)) {
    const expected = jobs
      .filter((job) => job.service_id === app.id && job.rotation === "in" && job.ready)
      .map((job) => job.backend ?? "nowhere");
    found.push(
      ...difference(
        `the edge of ${host.name} has for ${app.name}`,
        await edgeBackends(host, app.hostname),
        expected,
      ),
    );
  }
  return found;
}

function difference(what: string, present: readonly string[], expected: readonly string[]): string[] {
  const same = [...present].sort().join() === [...expected].sort().join();
  return same ? [] : [`${what} ${present.join(", ") || "nothing"}, not ${expected.join(", ") || "nothing"}`];
}
