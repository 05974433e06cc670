/** A host loses power. What it ran alone serves elsewhere; what it ran as one of two is never missed. */
import { until } from "../../faults/until.ts";
import { edgeBackends, type JobRow, openJobs } from "../at-rest.ts";
import { type Finding, type HostCase, hostOf, level, watchHosts, within } from "../case.ts";
import type { HostPod } from "../host-pod.ts";
import { Timeline } from "../timeline.ts";
import { visit } from "../visitors.ts";

const promiseMs = 15_000;
const deadlineMs = 90_000;

export const hostDies: HostCase = {
  name: "host-dies",
  title: "a host dies: its work serves elsewhere",
  run: async (pod) => {
    const { host, job } = await hostOf(pod, pod.apps.lone);
    const timeline = new Timeline(`${host.name} loses power; lone ran there`);
    const watch = watchHosts(pod, timeline);
    const killed = host.kill();
    const others = pod.hosts.filter((one) => one !== host);
    const [servesMs] = await Promise.all([
      servesAgain(pod, timeline, others),
      routedBy(pod, timeline, others, job),
      killed,
    ]);
    await watch.stop();
    const successor = await markStages(pod, timeline, job);
    const { lone, pair } = { lone: pod.visitors.lone.take(), pair: pod.visitors.pair.take() };
    pod.say(timeline.draw());
    pod.say(`   lone meanwhile: ${lone.failures.length} of ${lone.requests} requests failed`);
    const returned = new Timeline(`${host.name} is switched on again`);
    await host.start();
    await pod.rest();
    returned.mark("everything as desired, its old job is gone");
    pod.say(returned.draw());
    return [
      within("lone serves elsewhere, through every edge", servesMs, promiseMs),
      level("the successor", "on another host", successor.host !== host.name, `on ${successor.host}`),
      level(
        "requests to pair, whose other replica lives",
        "only those that were open at the loss fail",
        onlyAtTheLoss(pair.failures, timeline.startedAtMs),
        `${pair.failures.length} of ${pair.requests} failed, slowest answer ${pair.slowestMs} ms`,
      ),
    ] satisfies Finding[];
  },
};

/** Until a visitor gets an answer through each surviving edge. */
async function servesAgain(
  pod: HostPod,
  timeline: Timeline,
  edges: readonly { readonly name: string; readonly address: string }[],
): Promise<number> {
  const { hostname } = pod.apps.lone;
  const answers = async (address: string): Promise<boolean> => {
    const outcome = await visit(address, pod.edgePort, hostname);
    return outcome.kind === "ended" && outcome.failure === null;
  };
  // It must be seen to be gone first, or the last answers of the dying host would count.
  await until(
    "lone to be missed",
    async () => ((await answers(edges[0]?.address ?? "")) ? undefined : true),
    deadlineMs,
    20,
  );
  const look = async (): Promise<true | undefined> =>
    (await Promise.all(edges.map(({ address }) => answers(address)))).every(Boolean) ? true : undefined;
  await until("lone to serve through every edge", look, deadlineMs, 20);
  return timeline.mark("lone answers through every surviving edge");
}

async function routedBy(
  pod: HostPod,
  timeline: Timeline,
  edges: HostPod["hosts"],
  before: JobRow,
): Promise<void> {
  const look = async (): Promise<true | undefined> => {
    const lists = await Promise.all(edges.map((host) => edgeBackends(host, pod.apps.lone.hostname)));
    return lists.every((list) => list.length === 1 && list[0] !== before.backend) ? true : undefined;
  };
  await until("every edge to have the new route", look, deadlineMs, 50);
  timeline.mark("every surviving edge has the new route");
}

/** What the record and the winning agent noted of the successor. */
async function markStages(pod: HostPod, timeline: Timeline, before: JobRow): Promise<JobRow> {
  const successor = (await openJobs(pod)).find(
    (job) => job.service_id === before.service_id && job.id !== before.id && job.state === "running",
  );
  if (successor === undefined) throw new Error("no job took the lost one's place");
  const rows = await pod.query<{ made: Date; stages: { name: string; endedAtMs: number }[] }>(
    "select created_at as made, stages from scheduler.jobs where id = $1",
    [successor.id],
  );
  for (const { made, stages } of rows) {
    timeline.mark("a successor is made", made.getTime());
    for (const { name, endedAtMs } of stages)
      timeline.mark(`its ${name} is over (${successor.host})`, endedAtMs);
  }
  return successor;
}

/** A request that was under way when the host went, or was sent before the edges could know. */
const noticedByEdgesMs = 6000;

function onlyAtTheLoss(failures: readonly string[], lostAtMs: number): boolean {
  return failures.every((one) => Date.parse(one.split(" ", 1)[0] ?? "") <= lostAtMs + noticedByEdgesMs);
}
