/** A host's power goes and comes back, with the control plane there and without it: exactly what was desired runs again. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { hostBerthDir } from "@berth/infra/lab/lab-pod.ts";
import { until } from "../../faults/until.ts";
import { runningJobs } from "../at-rest.ts";
import { type Finding, type HostCase, hostOf, reached, same, watchHosts, within } from "../case.ts";
import type { HostPod } from "../host-pod.ts";
import { seconds, Timeline } from "../timeline.ts";
import { visit } from "../visitors.ts";

const deadlineMs = 120_000;
const backPromiseMs = 300_000;

export const powerCycle: HostCase = {
  name: "power-cycle",
  title: "a host's power goes and comes back",
  run: async (pod) => {
    const { host } = await hostOf(pod, pod.apps.lone);
    const timeline = new Timeline(`${host.name} loses power, the control plane is up`);
    const watch = watchHosts(pod, timeline);
    await host.powerCycle();
    timeline.mark("its engine answers");
    const restMs = await pod.rest();
    const backMs = timeline.mark("everything as desired, one container per job");
    await watch.stop();
    pod.say(timeline.draw());
    pod.say(report(host));
    await pod.reset();
    return [
      reached("containers on every host", `exactly the desired ones, ${seconds(restMs)} after the engine`),
      within("from power loss to the desired set", backMs, backPromiseMs),
    ];
  },
};

export const powerCycleAlone: HostCase = {
  name: "power-cycle-alone",
  title: "a host's power goes and comes back while there is no control plane",
  run: async (pod) => {
    const { host } = await hostOf(pod, pod.apps.lone);
    const before = await runningJobs([host]);
    const gone = await pod.control.losePower();
    const timeline = new Timeline(
      `the control plane is gone (${gone.length} processes); ${host.name} loses power`,
    );
    let findings: Finding[];
    try {
      await host.powerCycle();
      timeline.mark("its engine answers");
      const running = await backAgain(host, before);
      const backMs = timeline.mark("all its jobs run, from its own ledger");
      await serves(pod, host);
      timeline.mark("lone answers through its own edge");
      pod.say(report(host));
      findings = [
        same(`containers of ${host.name}, job and epoch`, before, running),
        within("from power loss to its jobs running", backMs, backPromiseMs),
      ];
    } finally {
      await pod.control.start();
    }
    timeline.mark("the control plane is back");
    await pod.rest();
    timeline.mark("everything as desired");
    pod.say(timeline.draw());
    findings.push(same("the same, after the control plane is back", before, await runningJobs([host])));
    await pod.reset();
    return findings;
  },
};

/** Waits for as many containers as before: which they are is judged by who compares them. */
async function backAgain(host: LabHost, before: readonly string[]): Promise<string[]> {
  let running: string[] = [];
  const look = async (): Promise<true | string[]> => {
    running = await runningJobs([host]);
    return running.length >= before.length ? true : [`${running.length} of ${before.length} run`];
  };
  await until(`the jobs of ${host.name}`, look, deadlineMs, 100);
  return running;
}

async function serves(pod: HostPod, host: LabHost): Promise<void> {
  const look = async (): Promise<true | string[]> => {
    const outcome = await visit(host.address, pod.edgePort, pod.apps.lone.hostname);
    return outcome.kind === "ended" && outcome.failure === null ? true : [JSON.stringify(outcome)];
  };
  await until("lone through the host's own edge", look, deadlineMs);
}

/** What the agent wrote of its recovery. */
function report(host: LabHost): string {
  const path = join(hostBerthDir(host), "recovery.json");
  return existsSync(path)
    ? `   recovery of ${host.name}: ${readFileSync(path, "utf8").trim()}`
    : "   (no recovery report)";
}
