/**
 * The leading scheduler is paused in the middle of its work for longer than its lease, another one takes over, and
 * the first wakes up: it must find that it leads no more, and nothing that it still does may count.
 */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../faults/until.ts";
import { openJobs, runningJobs } from "../at-rest.ts";
import { type Finding, type HostCase, level, same } from "../case.ts";
import type { HostPod } from "../host-pod.ts";
import { Timeline } from "../timeline.ts";

const deadlineMs = 90_000;
/** After it noticed that it is deposed: rounds come every second. */
const watchedMs = 4000;

export const staleScheduler: HostCase = {
  name: "stale-scheduler",
  title: "a scheduler that was paused past its lease changes nothing",
  run: async (pod, { pausesCount }) => {
    const findings: Finding[] = [];
    await pod.control.addTwin("scheduler");
    try {
      for (let i = 0; i < pausesCount; i++) findings.push(...(await pause(pod, i)));
    } finally {
      await pod.control.removeTwin("scheduler");
    }
    await pod.reset();
    return findings;
  },
};

/** Where the leader is paused: before it commits, after it gave a job to a host and before it told it, after a commit. */
const points = ["scheduler.before-steps", "scheduler.awards-stored", "scheduler.after-steps"] as const;

async function pause(pod: HostPod, round: number): Promise<Finding[]> {
  const point = points[round % points.length] ?? points[0];
  const leader = await leaderOf(pod);
  const name = await leadingProcess(pod);
  const { pid } = await pod.control.process(name);
  const logEnd = pod.control.logEnd(name);
  const timeline = new Timeline(
    `lone is scaled; ${name}, which leads under epoch ${leader.epoch}, carries it out`,
  );
  pod.control.armPause(name, point);
  try {
    await pod.scale("lone", round + 2);
    await until(`${name} to come to ${point}`, async () => isPaused(pid) || undefined, deadlineMs, 10);
    timeline.mark(`it is paused at ${point}`);
    const next = await until("another scheduler to lead", () => newLeader(pod, leader.epoch), deadlineMs);
    timeline.mark(`the other one leads under epoch ${next.epoch}`);
    await pod.rest();
    timeline.mark("it carried the change out");
  } finally {
    pod.control.disarm(name);
    process.kill(pid, "SIGCONT");
  }
  const before = await everything(pod);
  timeline.mark(`${name} wakes up and goes on from where it was`);
  await until(`${name} to notice`, async () => deposed(pod, name, logEnd), deadlineMs);
  timeline.mark(`${name} notices that it does not lead`);
  await delay(watchedMs);
  const after = await everything(pod);
  const rejected = rejections(pod, name, logEnd);
  pod.say(timeline.draw());
  const findings = [same(`record and containers after ${name} woke up at ${point}`, before, after)];
  if (point === "scheduler.before-steps")
    findings.push(
      level("the commit that it was about to make", "rejected", rejected > 0, `${rejected} rejected`),
    );
  return findings;
}

function isPaused(pid: number): boolean {
  return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

function rejections(pod: HostPod, name: string, logEnd: number): number {
  return pod.control.log(name, logEnd).filter((line) => line.includes("another scheduler leads")).length;
}

interface Leader {
  readonly holder: string;
  readonly epoch: number;
}

async function leaderOf(pod: HostPod): Promise<Leader> {
  const [row] = await pod.query<{ holder: string; epoch: string }>(
    "select holder, epoch from scheduler.leader",
  );
  if (row === undefined) throw new Error("no scheduler ever led");
  return { holder: row.holder, epoch: Number(row.epoch) };
}

async function newLeader(pod: HostPod, epoch: number): Promise<Leader | undefined> {
  const leader = await leaderOf(pod);
  return leader.epoch > epoch ? leader : undefined;
}

/** The one whose log tells of the later election. */
async function leadingProcess(pod: HostPod): Promise<string> {
  const { epoch } = await leaderOf(pod);
  const names = ["scheduler", "scheduler-2"];
  const found = names.find((name) =>
    pod.control
      .log(name)
      .some((line) => line.includes("leader.elected") && line.includes(`"epoch":${epoch}`)),
  );
  if (found === undefined) throw new Error(`no scheduler's log tells that it leads under epoch ${epoch}`);
  return found;
}

async function deposed(pod: HostPod, name: string, logEnd: number): Promise<true | undefined> {
  return pod.control.log(name, logEnd).some((line) => line.includes("leader.deposed")) || undefined;
}

/** Every row that a scheduler writes, but for the lease's and the hosts' clocks, and what runs. */
async function everything(pod: HostPod): Promise<string[]> {
  const leader = await leaderOf(pod);
  const jobs = (await openJobs(pod)).map((job) => JSON.stringify(job));
  const counts = await pod.query<{ what: string; count: string }>(
    `select 'jobs' as what, count(*) from scheduler.jobs union all select 'deploys', count(*) from scheduler.deploys
     union all select 'decisions', count(*) from scheduler.decisions union all select 'serving', count(*) from scheduler.serving`,
  );
  return [
    `leader ${leader.holder} ${leader.epoch}`,
    ...jobs,
    ...counts.map(({ what, count }) => `${what}: ${count}`),
    ...(await runningJobs(pod.hosts)),
  ];
}
