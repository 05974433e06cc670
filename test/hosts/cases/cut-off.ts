/** A host is cut off and comes back: it served what it could, and takes up what was changed meanwhile. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { hostNames } from "@berth/infra/lab/lab-names.ts";
import { z } from "zod";
import { until } from "../../faults/until.ts";
import { containers, edgeBackends, openJobs } from "../at-rest.ts";
import {
  type Finding,
  type HostCase,
  hostOf,
  level,
  noneFailed,
  reached,
  watchHosts,
  within,
} from "../case.ts";
import type { App, HostPod } from "../host-pod.ts";
import { seconds, Timeline } from "../timeline.ts";

const deadlineMs = 120_000;
const convergePromiseMs = 60_000;

export const cutOff: HostCase = {
  name: "cut-off",
  title: "a host is cut off and comes back: surplus stopped, updates applied, routes clean",
  run: async (pod, { cutMs }) => {
    const { pair } = pod.apps;
    const { host, job } = await hostOf(pod, pair);
    const timeline = new Timeline(`${host.name} is cut off; a replica of pair runs there`);
    const watch = watchHosts(pod, timeline);
    await host.cut();
    const local = visitLocally(pod, host, pair);
    const deployId = await pod.release("pair");
    await pod.scale("lone", 2);
    timeline.mark("pair gets a new release, lone a second replica");
    await deployEnds(pod, deployId);
    timeline.mark("the new release serves, elsewhere");
    await pod.wait(timeline.startedAtMs + cutMs - Date.now());
    const servedLocally = await local.stop();
    const visits = { pair: pod.visitors.pair.take(), lone: pod.visitors.lone.take() };
    await host.heal();
    const healedMs = timeline.mark(`the cut ends after ${seconds(cutMs)}`);
    await surplusStops(host, job.id);
    timeline.mark("the surplus of the old release is stopped");
    await routesAreClean(pod, host);
    timeline.mark(`the edge of ${host.name} has the new routes and no other`);
    await pod.rest();
    const convergedMs = timeline.mark("everything as desired") - healedMs;
    await watch.stop();
    pod.say(timeline.draw());
    const findings: Finding[] = [
      level(
        `requests inside of ${host.name} to its own replica, while it was cut off`,
        "all answered but the first ones",
        servedLocally.requests > lastCount && servedLocally.last.length === 0,
        `${servedLocally.failed} of ${servedLocally.requests} failed, ${servedLocally.last.length} of the last ${lastCount} ${servedLocally.first}`,
      ),
      noneFailed(
        "pair from outside, with a deploy during the cut",
        afterTheCut(visits.pair, timeline.startedAtMs),
      ),
      reached("the host's containers and every edge's backends", "exactly the desired ones"),
      within("from the end of the cut to everything as desired", convergedMs, convergePromiseMs),
    ];
    await pod.reset();
    return findings;
  },
};

/** Requests that were under way at the cut, or sent before the edges noticed, are not what is asked here. */
function afterTheCut(visits: ReturnType<HostPod["visitors"]["pair"]["take"]>, cutAtMs: number) {
  const later = visits.failures.filter((one) => Date.parse(one.split(" ", 1)[0] ?? "") > cutAtMs + 6000);
  return { ...visits, failures: later };
}

const localVisitor = join(import.meta.dirname, "../local-visitor.ts");
const lastCount = 20;

/** A visitor inside of the host, who reaches nothing but its own edge. */
function visitLocally(pod: HostPod, host: LabHost, app: App) {
  const { netnsPath } = hostNames(pod.stateDir, pod.lab.lab.index, Number(host.name.slice(1)));
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", localVisitor];
  const words = [`--net=${netnsPath}`, ...node, String(pod.edgePort), app.hostname];
  const child = spawn("nsenter", words, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return {
    stop: async () => {
      child.stdin.end();
      await ended;
      const answers = z.array(z.string().nullable()).parse(JSON.parse(output));
      const failed = answers.filter((one) => one !== null);
      const last = answers.slice(-lastCount).filter((one) => one !== null);
      return { requests: answers.length, failed: failed.length, last, first: failed[0] ?? "" };
    },
  };
}

async function deployEnds(pod: HostPod, deployId: string): Promise<void> {
  const look = async (): Promise<true | string[]> => {
    const rows = await pod.query<{ state: string; reason: string | null; final: boolean }>(
      "select state, reason, final from scheduler.deploy_overview where deploy_id = $1",
      [deployId],
    );
    const [deploy] = rows;
    if (deploy?.final !== true) return [deploy?.state ?? "not known yet"];
    if (deploy.state !== "succeeded")
      throw new Error(`the deploy ended as ${deploy.state}: ${deploy.reason}`);
    return true;
  };
  await until(`the deploy ${deployId}`, look, deadlineMs);
}

async function surplusStops(host: LabHost, jobId: string): Promise<void> {
  const look = async (): Promise<true | string[]> => {
    const present = (await containers(host)).map((one) => one.jobId);
    return present.includes(jobId) ? present : true;
  };
  await until(`the surplus on ${host.name} to stop`, look, deadlineMs, 100);
}

async function routesAreClean(pod: HostPod, host: LabHost): Promise<void> {
  const look = async (): Promise<true | string[]> => {
    const jobs = await openJobs(pod);
    for (const app of Object.values(pod.apps)) {
      const wanted = jobs.filter((job) => job.service_id === app.id && job.rotation === "in" && job.ready);
      const present = await edgeBackends(host, app.hostname);
      if (
        present.join() !==
        wanted
          .map(({ backend }) => backend)
          .sort()
          .join()
      )
        return present;
    }
    return true;
  };
  await until(`clean routes on ${host.name}`, look, deadlineMs, 100);
}
