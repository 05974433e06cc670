/** Most hosts vanish at once: that is more likely the network than the hosts, so nothing is moved and an alarm is given. */
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { until } from "../../faults/until.ts";
import { hostStates, openJobs, runningJobs } from "../at-rest.ts";
import { type HostCase, level, reached, same, watchHosts } from "../case.ts";
import type { HostPod } from "../host-pod.ts";
import { Timeline } from "../timeline.ts";

const share = 0.6;
const deadlineMs = 60_000;
/** Two rounds of the scheduler. */
const roundsMs = 2000;

export const massLoss: HostCase = {
  name: "mass-loss",
  title: "60 % of the hosts vanish: nothing is evicted, an alarm is given",
  run: async (pod, { massLossMs }) => {
    const before = await runningJobs(pod.hosts);
    const recordBefore = await placements(pod);
    const gone = pod.hosts.slice(0, Math.ceil(pod.hosts.length * share));
    const timeline = new Timeline(
      `${gone.map(({ name }) => name).join(", ")} vanish, of ${pod.hosts.length}`,
    );
    const watch = watchHosts(pod, timeline);
    await Promise.all(gone.map((host) => host.cut()));
    const alarm = await until(
      "the alarm",
      () => eventAfter(pod, timeline.startedAtMs, "evictions.frozen"),
      deadlineMs,
    );
    timeline.mark(`the alarm: ${alarm}`);
    await pod.wait(timeline.startedAtMs + massLossMs - Date.now());
    const recordDuring = await placements(pod);
    await comeBack(pod, gone, timeline);
    await pod.rest();
    timeline.mark("everything as desired");
    const over = await until(
      "the alarm's end",
      () => eventAfter(pod, timeline.startedAtMs, "evictions.resumed"),
      deadlineMs,
    );
    timeline.mark(`the alarm is over: ${over}`);
    await watch.stop();
    const lost = timeline.marks.filter(({ what }) => what.endsWith(" is lost")).map(({ what }) => what);
    pod.say(timeline.draw());
    return [
      reached("the alarm, in the pod's history", alarm),
      reached("the alarm's end", over),
      level("hosts declared lost", "none", lost.length === 0, lost.join(", ") || "none"),
      same("the record's placements while they were away", recordBefore, recordDuring),
      same("running containers, after they are back", before, await runningJobs(pod.hosts)),
    ];
  },
};

/** One comes first: from then on fewer than half are away, and they were silent for longer than any limit. */
async function comeBack(pod: HostPod, gone: readonly LabHost[], timeline: Timeline): Promise<void> {
  const [first, ...others] = gone;
  await first?.heal();
  const heard = async (): Promise<true | undefined> =>
    (await hostStates(pod)).get(first?.name ?? "") === "alive" || undefined;
  await until(`${first?.name} to be heard`, heard, deadlineMs);
  await pod.wait(roundsMs);
  await Promise.all(others.map((host) => host.heal()));
  timeline.mark("the others can be reached again");
}

async function placements(pod: HostPod): Promise<string[]> {
  return (await openJobs(pod)).map((job) => `${job.id} e${job.epoch} ${job.desired} on ${job.host}`);
}

/** What an operator sees in the pod's history. @returns undefined while it is not there */
async function eventAfter(pod: HostPod, sinceMs: number, kind: string): Promise<string | undefined> {
  const rows = await pod.query<{ details: unknown }>(
    "select details from scheduler.events where kind = $1 and at >= $2",
    [kind, new Date(sinceMs)],
  );
  return rows[0] === undefined ? undefined : `${kind} ${JSON.stringify(rows[0].details)}`;
}
