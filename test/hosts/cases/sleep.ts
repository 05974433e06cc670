/**
 * An app sleeps: nothing of it runs. Requests wake it, once, whatever is killed (`kill -9`) while it falls asleep and
 * while it wakes; and it falls asleep by itself when no edge saw a request for as long as its owner says.
 */
import { activatorMayHaveUser, activatorUser } from "@berth/infra/host/activator-user.ts";
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { connect } from "@berth/infra/supervisor/client.ts";
import { until } from "../../faults/until.ts";
import { containers } from "../at-rest.ts";
import { type Finding, type HostCase, hostOf, level } from "../case.ts";
import type { HostPod } from "../host-pod.ts";
import { Timeline } from "../timeline.ts";
import { visit } from "../visitors.ts";

const deadlineMs = 90_000;
/** As long as an activator may hold a request. */
const answerMs = 60_000;
const requestsPerEdge = 8;
const idleMs = 10_000;

export const sleep: HostCase = {
  name: "sleep",
  title: "an app sleeps, wakes by requests, and nothing of it is lost or doubled",
  run: async (pod) => {
    const { host } = await hostOf(pod, pod.apps.lone);
    await pod.visitors.lone.pause();
    const timeline = new Timeline(`lone runs on ${host.name}`);
    const since = await newestEvent(pod);
    const play = { pod, host, timeline };
    try {
      const burst = await killedWhileItFalls(play);
      const cause = await byIdleness(play);
      const throughKills = await killedWhileItWakes(play);
      await pod.rest();
      const alone = await withoutTheBus(play);
      await pod.rest();
      const { falls, wakes } = await sleeps(pod, since);
      pod.say(timeline.draw());
      return [
        none("requests at every edge at once, after kills while it fell asleep", burst),
        none("requests while agent, router, scheduler and another host's edge are killed", throughKills),
        level("cause of the sleep that nobody ordered", "idle", cause === "idle", cause),
        none("a request without the bus", alone),
        await ownUser(host),
        level("sleeps, and ends of sleeps", "3 and 3", falls === 3 && wakes === 3, `${falls} and ${wakes}`),
      ];
    } finally {
      await pod.sleepAfter("lone", null);
      pod.visitors.lone.goOn();
    }
  },
};

interface Play {
  readonly pod: HostPod;
  readonly host: LabHost;
  readonly timeline: Timeline;
}

async function killedWhileItFalls({ pod, host, timeline }: Play): Promise<string[]> {
  await pod.sleep("lone");
  await until("it to fall", async () => ((await stateOf(pod)) === "falling" ? true : undefined), deadlineMs);
  await Promise.all([
    killPart(host, "agent"),
    killPart(host, "edge"),
    killPart(host, "activator"),
    killControl(pod, "router"),
    killControl(pod, "scheduler"),
  ]);
  timeline.mark("agent, edge, activator, router and scheduler are killed while it falls asleep");
  await isAsleep(pod, host, "exited");
  timeline.mark("asleep, its container stopped");
  await edgesListen(pod);
  const burst = await ask(pod, pod.hosts, requestsPerEdge);
  timeline.mark("woken by requests at every edge at once");
  return burst;
}

/** What the killed edge and activator held is lost with them: nobody else knows of it. Who asks there later is answered. */
async function killedWhileItWakes({ pod, host, timeline }: Play): Promise<string[]> {
  const [first, ...others] = pod.hosts.filter((one) => one !== host) as [LabHost, ...LabHost[]];
  const held = ask(pod, [host, ...others], 1);
  const lost = ask(pod, [first], 1);
  await Promise.all([
    killPart(host, "agent"),
    killPart(first, "edge"),
    killPart(first, "activator"),
    killControl(pod, "router"),
    killControl(pod, "scheduler"),
  ]);
  const failures = await held;
  await lost;
  timeline.mark(
    `woken while agent, router and scheduler, and edge and activator of ${first.name}, are killed`,
  );
  await edgesListen(pod);
  return [...failures, ...(await ask(pod, [first], 1))];
}

/** @returns why it sleeps, by the record */
async function byIdleness({ pod, host, timeline }: Play): Promise<string> {
  await pod.sleepAfter("lone", idleMs);
  await pod.rest();
  await isAsleep(pod, host, "exited");
  const [row] = await pod.query<{ cause: string }>(
    "select cause from scheduler.sleeps where service_id = $1",
    [pod.apps.lone.id],
  );
  timeline.mark(`asleep because of ${row?.cause}, as its owner wants after ${idleMs / 1000} s`);
  await pod.sleepAfter("lone", null);
  return row?.cause ?? "nothing";
}

async function withoutTheBus({ pod, host, timeline }: Play): Promise<string[]> {
  await pod.sleep("lone");
  await isAsleep(pod, host, "exited");
  const nats = (await pod.control.process("nats")).pid;
  process.kill(nats, "SIGSTOP");
  const alone = await ask(pod, [host], 1).finally(() => process.kill(nats, "SIGCONT"));
  timeline.mark(`woken by ${host.name} alone, without the bus`);
  return alone;
}

function none(what: string, failures: readonly string[]): Finding {
  const all = failures.length === 0;
  return level(what, "all answered", all, all ? "all answered" : failures.join(", "));
}

async function stateOf(pod: HostPod): Promise<string> {
  const [row] = await pod
    .query<{ state: string }>("select state from scheduler.sleeps where service_id = $1", [pod.apps.lone.id])
    .catch(() => []);
  return row?.state ?? "never slept";
}

async function isAsleep(pod: HostPod, host: LabHost, container: string): Promise<void> {
  const look = async (): Promise<true | string[]> => {
    const state = await stateOf(pod);
    const own = (await containers(host)).filter(({ serviceId }) => serviceId === pod.apps.lone.id);
    const isOut = own.length === 1 && own[0]?.state === container;
    return state === "asleep" && isOut ? true : [state, ...own.map((one) => one.state)];
  };
  await until("lone to sleep", look, deadlineMs, 100);
}

async function edgesListen(pod: HostPod): Promise<void> {
  const look = async (): Promise<true | string[]> => {
    const answers = await Promise.all(
      pod.hosts.map(async ({ name, address }) => {
        const outcome = await visit(address, pod.edgePort, "nobody.invalid");
        return outcome.kind === "not-connected" ? name : null;
      }),
    );
    const deaf = answers.filter((name) => name !== null);
    return deaf.length === 0 ? true : deaf;
  };
  await until("every edge to listen", look, deadlineMs, 100);
}

/** So many requests through each edge at once. @returns what was not answered 200 */
async function ask(pod: HostPod, edges: readonly LabHost[], each: number): Promise<string[]> {
  const asked = edges.flatMap((edge) =>
    Array.from({ length: each }, async () => {
      const outcome = await visit(edge.address, pod.edgePort, pod.apps.lone.hostname, { answerMs });
      if (outcome.kind === "not-connected") return `${edge.name}: not connected`;
      return outcome.failure === null ? null : `${edge.name}: ${outcome.failure}`;
    }),
  );
  return (await Promise.all(asked)).filter((failure) => failure !== null);
}

/** It reads strangers' bytes: whoever gets into it must not be root. */
async function ownUser(host: LabHost): Promise<Finding> {
  const pid = await pidOf(host, "activator");
  const { stdout } = await host.exec(["stat", "--format", "%U", `/proc/${pid}`]);
  const wanted = activatorMayHaveUser() ? activatorUser : "root";
  return level("user of the activator", wanted, stdout.trim() === wanted, stdout.trim());
}

/** `kill -9` to a process of a host and to its children: its supervisor starts it again. */
async function killPart(host: LabHost, name: "agent" | "activator" | "edge"): Promise<void> {
  const pid = await pidOf(host, name);
  const { code, stderr } = await host.exec(["kill", "-9", "--", `-${pid}`]);
  if (code !== 0) throw new Error(`${name} of ${host.name}: ${stderr}`);
}

/** As the host sees it. */
async function pidOf(host: LabHost, name: string): Promise<number> {
  const supervisor = await connect(host.supervisorDir);
  const status = await supervisor?.status();
  const pid = status?.processes.find((one) => one.name === name)?.pid;
  if (pid == null) throw new Error(`${name} of ${host.name} does not run`);
  return pid;
}

async function killControl(pod: HostPod, name: "router" | "scheduler"): Promise<void> {
  process.kill(-(await pod.control.process(name)).pid, "SIGKILL");
}

async function newestEvent(pod: HostPod): Promise<string> {
  const [row] = await pod.query<{ id: string }>(
    "select coalesce(max(id), 0)::text as id from scheduler.events",
  );
  return row?.id ?? "0";
}

async function sleeps(pod: HostPod, since: string): Promise<{ falls: number; wakes: number }> {
  const rows = await pod.query<{ kind: string; count: number }>(
    "select kind, count(*)::int as count from scheduler.events where service_id = $1 and id > $2 group by kind",
    [pod.apps.lone.id, since],
  );
  const count = (kind: string): number => rows.find((row) => row.kind === kind)?.count ?? 0;
  return { falls: count("sleep.falling"), wakes: count("sleep.waking") };
}
