/** The whole control plane is away under load: apps serve, and one that crashes is started again by its own host. */
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { until } from "../../faults/until.ts";
import { containers, openJobs, runningJobs } from "../at-rest.ts";
import { type Finding, type HostCase, hostOf, level, noneFailed, same, within } from "../case.ts";
import { seconds, Timeline } from "../timeline.ts";

const deadlineMs = 60_000;
const restartPromiseMs = 15_000;

export const outage: HostCase = {
  name: "outage",
  title: "NATS, PostgreSQL and every service of the control plane are down",
  run: async (pod, { outageMs }) => {
    const { host, job } = await hostOf(pod, pod.apps.pair);
    const before = await runningJobs(pod.hosts);
    for (const visitors of Object.values(pod.visitors)) visitors.take();
    const gone = await pod.control.losePower();
    const timeline = new Timeline(`down: ${gone.join(", ")}`);
    let restartMs: number;
    try {
      await pod.wait(outageMs / 3);
      const crashedMs = timeline.mark(`a replica of pair on ${host.name} is killed`);
      await crash(host, job.id);
      const killedAtMs = timeline.startedAtMs + crashedMs;
      restartMs = (await runsAgain(host, job.id, killedAtMs, timeline)) - crashedMs;
      await pod.wait(timeline.startedAtMs + outageMs - Date.now());
    } finally {
      await pod.control.start();
    }
    timeline.mark(`the control plane is back after ${seconds(outageMs)}`);
    const visits = { lone: pod.visitors.lone.take(), pair: pod.visitors.pair.take() };
    await pod.rest();
    timeline.mark("everything as desired");
    pod.say(timeline.draw());
    const restarts = (await openJobs(pod)).length;
    return [
      noneFailed("lone", visits.lone),
      noneFailed("pair, one of whose replicas crashed", visits.pair),
      within("from crash to running again, by the agent alone", restartMs, restartPromiseMs),
      same("jobs, hosts and epochs", before, await runningJobs(pod.hosts)),
      level("open jobs in the record", "as many", restarts === before.length, String(restarts)),
    ] satisfies Finding[];
  },
};

async function crash(host: LabHost, jobId: string): Promise<void> {
  const id = (await containers(host)).find((one) => one.jobId === jobId)?.id ?? "";
  const inspected = await host.exec(["docker", "inspect", "--format", "{{.State.Pid}}", id]);
  if (inspected.code !== 0) throw new Error(`docker inspect: ${inspected.stderr}`);
  const killed = await host.exec(["kill", "-9", inspected.stdout.trim()]);
  if (killed.code !== 0) throw new Error(`kill -9: ${killed.stderr}`);
}

async function runsAgain(
  host: LabHost,
  jobId: string,
  killedAtMs: number,
  timeline: Timeline,
): Promise<number> {
  const look = async (): Promise<true | string[]> => {
    const own = (await containers(host)).filter((one) => one.jobId === jobId);
    const started = await Promise.all(own.map(({ id }) => startedAtMs(host, id)));
    return own.length === 1 && own[0]?.state === "running" && (started[0] ?? 0) > killedAtMs
      ? true
      : own.map(({ state }) => state);
  };
  await until("the crashed app to run again", look, deadlineMs, 100);
  return timeline.mark(`the agent of ${host.name} has started it again`);
}

async function startedAtMs(host: LabHost, id: string): Promise<number> {
  const { stdout } = await host.exec(["docker", "inspect", "--format", "{{.State.StartedAt}}", id]);
  return Date.parse(stdout.trim());
}
