/**
 * What must hold after every fault, with nobody's help: one instance that the record and the engine agree on, and
 * nothing that still waits, hangs or is left over.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { FaultPod } from "./fault-pod.ts";
import { get } from "./traffic.ts";

const outboxes = ["api", "git", "builder", "scheduler", "router"] as const;

export const ContainerLine = z.object({ ID: z.string(), State: z.string(), Labels: z.string() });

/** @returns what is still wrong; nothing when the pod has come to rest with this version */
export async function problems(
  pod: FaultPod,
  wanted: { readonly deployId: string | null; readonly version: string; readonly instances: number },
): Promise<string[]> {
  const lists = await Promise.all([
    answerProblems(pod, wanted.version),
    processProblems(pod),
    jobProblems(pod, wanted),
    containerProblems(pod, wanted),
    rowProblems(pod),
    fileProblems(pod),
  ]);
  return lists.flat();
}

async function answerProblems(pod: FaultPod, version: string): Promise<string[]> {
  const { status, body } = await get(pod.service.site, "/version");
  return status === 200 && body === version ? [] : [`the URL answers ${status} ${body}, not ${version}`];
}

async function processProblems(pod: FaultPod): Promise<string[]> {
  const all = await pod.processes();
  return all.filter(({ state }) => state !== "ready").map(({ name, state }) => `${name} is ${state}`);
}

interface Instances {
  readonly deployId: string | null;
  readonly instances: number;
}

/** One job per slot, running and in rotation; none awarded for ever, none forgotten. */
async function jobProblems(pod: FaultPod, { deployId, instances }: Instances): Promise<string[]> {
  const jobs = await pod.query<{
    id: string;
    slot: number;
    state: string;
    rotation: string;
    deploy_id: string;
  }>(
    `select id, slot, state, rotation, deploy_id from scheduler.jobs
      where service_id = $1 and state not in ('finished', 'failed', 'lost')`,
    [pod.service.id],
  );
  const right = (job: (typeof jobs)[number]): boolean =>
    job.state === "running" && job.rotation === "in" && (deployId === null || job.deploy_id === deployId);
  const slots = new Set(jobs.map(({ slot }) => slot)).size;
  return jobs.length === instances && slots === instances && jobs.every(right)
    ? []
    : [`jobs: ${JSON.stringify(jobs)}`];
}

/** All containers of the service, also those that do not run. */
export async function containers(pod: FaultPod): Promise<z.infer<typeof ContainerLine>[]> {
  const filter = `label=berth.service=${pod.service.id}`;
  const command = ["docker", "ps", "--all", "--no-trunc", "--filter", filter, "--format", "{{json .}}"];
  const { code, stdout, stderr } = await pod.host.exec(command);
  if (code !== 0) throw new Error(`docker ps: ${stderr}`);
  const lines = stdout.split("\n").filter((line) => line !== "");
  return lines.map((line) => ContainerLine.parse(JSON.parse(line)));
}

/** Id, start and restarts of each running container: the same before and after means that it was left alone. */
export async function startTimes(pod: FaultPod): Promise<string[]> {
  const ids = (await containers(pod)).map(({ ID }) => ID);
  const format = "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}";
  const { code, stdout, stderr } = await pod.host.exec(["docker", "inspect", "--format", format, ...ids]);
  if (code !== 0) throw new Error(`docker inspect: ${stderr}`);
  return stdout.trim().split("\n").sort();
}

async function containerProblems(pod: FaultPod, { deployId, instances }: Instances): Promise<string[]> {
  const found = await containers(pod);
  const right = ({ State, Labels }: (typeof found)[number]): boolean =>
    State === "running" && (deployId === null || Labels.split(",").includes(`berth.deploy=${deployId}`));
  if (found.length === instances && found.every(right)) return [];
  const list = found.map(({ ID, State }) => `${ID.slice(0, 12)} ${State}`).join(", ");
  return [`containers: ${list || "none"}`];
}

async function rowProblems(pod: FaultPod): Promise<string[]> {
  const counts = outboxes.map(
    (schema) => `select '${schema}.outbox' as what, count(*) from ${schema}.outbox`,
  );
  const rows = await pod.query<{ what: string; count: string }>(
    `${counts.join(" union all ")}
     union all select 'open builds', count(*) from builder.builds where state in ('queued', 'running')
     union all select 'deploys that are not final', count(*) from scheduler.deploy_overview where not final
     union all select 'pushes with two builds', count(*) from
       (select 1 from builder.builds group by deploy_id having count(*) > 1) twice
     union all select 'deploys with two releases', count(*) from
       (select 1 from api.releases group by deploy_id having count(*) > 1) twice`,
  );
  return rows.filter(({ count }) => count !== "0").map(({ what, count }) => `${what}: ${count}`);
}

/** Bundles that no row accounts for, and build folders of builds that are over. */
async function fileProblems(pod: FaultPod): Promise<string[]> {
  const folder = join(pod.stateDir, "objects", "bundles", pod.service.id);
  const there = (await readdir(folder)).map((name) => `bundles/${pod.service.id}/${name}`);
  const known = await pod.query<{ key: string }>(
    "select bundle_key as key from git.pushes union select bundle_key from git.bundle_attempts",
  );
  const keys = new Set(known.map(({ key }) => key));
  const orphans = there.filter((key) => !keys.has(key)).map((key) => `bundle ${key} belongs to nothing`);
  const builds = await readdir(join(pod.stateDir, "services", "builder"), { recursive: true });
  const left = builds.filter((path) => /(^|\/)build-[^/]+$/.test(path));
  return [...orphans, ...left.map((path) => `build folder ${path} is left`)];
}
