/**
 * An app sleeps: nothing of it runs. Requests at every edge wake it, once; also when its agent and the router are killed
 * in the middle, when an activator is, and, where it lies, while the bus is away.
 */
import type { LabHost } from "@berth/infra/lab/lab.ts";
import { until } from "../../faults/until.ts";
import { containers } from "../at-rest.ts";
import { type HostCase, hostOf, level } from "../case.ts";
import type { HostPod } from "../host-pod.ts";
import { Timeline } from "../timeline.ts";
import { visit } from "../visitors.ts";

const deadlineMs = 60_000;
/** As long as an activator may hold a request. */
const answerMs = 60_000;
const requestsPerEdge = 8;

export const sleep: HostCase = {
  name: "sleep",
  title: "an app sleeps, wakes by requests, and nothing of it is lost or doubled",
  run: async (pod) => {
    const { host } = await hostOf(pod, pod.apps.lone);
    const others = pod.hosts.filter((one) => one !== host);
    await pod.visitors.lone.pause();
    const timeline = new Timeline(`lone runs on ${host.name}`);
    const since = await newestEvent(pod);
    try {
      await fallAsleep(pod, host);
      timeline.mark("asleep, its container stopped");
      const burst = await ask(pod, pod.hosts, requestsPerEdge);
      timeline.mark("woken by requests at every edge at once");

      await pod.rest();
      await fallAsleep(pod, host);
      const killed = ask(pod, pod.hosts, 1);
      await kill(host, "agent");
      process.kill((await pod.control.process("router")).pid, "SIGKILL");
      const throughKills = await killed;
      timeline.mark("woken while its agent and the router were killed");

      await pod.rest();
      await fallAsleep(pod, host);
      const first = others[0] as LabHost;
      const lost = ask(pod, [first], 1);
      await kill(first, "activator");
      await lost; // what a killed activator held may be lost: nobody else knows of it
      const afterKill = await ask(pod, [first], 1);
      timeline.mark(`woken although the activator of ${first.name} was killed`);

      await pod.rest();
      await fallAsleep(pod, host);
      const nats = (await pod.control.process("nats")).pid;
      process.kill(nats, "SIGSTOP");
      const alone = await ask(pod, [host], 1).finally(() => process.kill(nats, "SIGCONT"));
      timeline.mark(`woken by ${host.name} alone, without the bus`);
      await pod.rest();
      const { falls, wakes } = await sleeps(pod, since);
      pod.say(timeline.draw());
      return [
        none("requests at every edge at once", burst),
        none("requests while the agent and the router are killed", throughKills),
        none("a request after the activator was killed", afterKill),
        none("a request without the bus", alone),
        level("sleeps, and ends of sleeps", "4 and 4", falls === 4 && wakes === 4, `${falls} and ${wakes}`),
      ];
    } finally {
      pod.visitors.lone.goOn();
    }
  },
};

const none = (what: string, failures: readonly string[]) =>
  level(
    what,
    "all answered",
    failures.length === 0,
    failures.length === 0 ? "all answered" : failures.join(", "),
  );

async function fallAsleep(pod: HostPod, host: LabHost): Promise<void> {
  await pod.sleep("lone");
  const look = async (): Promise<true | string[]> => {
    const [row] = await pod.query<{ state: string }>(
      "select state from scheduler.sleeps where service_id = $1",
      [pod.apps.lone.id],
    );
    const own = (await containers(host)).filter(({ serviceId }) => serviceId === pod.apps.lone.id);
    const isOut = own.length === 1 && own[0]?.state === "exited";
    return row?.state === "asleep" && isOut
      ? true
      : [row?.state ?? "never slept", ...own.map(({ state }) => state)];
  };
  await until("lone to sleep", look, deadlineMs, 50);
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

/** `kill -9` to a process of a host: its supervisor starts it again. */
async function kill(host: LabHost, name: "agent" | "activator"): Promise<void> {
  const command = `pkill -9 -f 'services/${name}/src/main[.]ts'`;
  const { code, stderr } = await host.exec(["sh", "-c", command]);
  if (code !== 0) throw new Error(`${name} of ${host.name}: ${stderr}`);
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
  const count = (kind: string) => rows.find((row) => row.kind === kind)?.count ?? 0;
  return { falls: count("sleep.falling"), wakes: count("sleep.waking") };
}
