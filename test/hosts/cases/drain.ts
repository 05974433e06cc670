/** An operator drains a host under load: its work moves start-first, and nobody notices. */
import { until } from "../../faults/until.ts";
import { containers } from "../at-rest.ts";
import { type HostCase, hostOf, noneFailed, reached } from "../case.ts";
import { Timeline } from "../timeline.ts";

const deadlineMs = 120_000;

export const drain: HostCase = {
  name: "drain",
  title: "a host is drained under load",
  run: async (pod) => {
    const { host } = await hostOf(pod, pod.apps.lone);
    for (const visitors of Object.values(pod.visitors)) visitors.take();
    const timeline = new Timeline(`${host.name} is drained; lone, with its one replica, runs there`);
    await pod.drain(host.name, true);
    const look = async (): Promise<true | string[]> => {
      const left = await containers(host);
      return left.length === 0 ? true : left.map(({ jobId, state }) => `${jobId} ${state}`);
    };
    await until(`${host.name} to be empty`, look, deadlineMs, 100);
    timeline.mark("nothing is left on it");
    await pod.rest();
    timeline.mark("everything as desired, elsewhere");
    const visits = { lone: pod.visitors.lone.take(), pair: pod.visitors.pair.take() };
    await pod.drain(host.name, false);
    pod.say(timeline.draw());
    await pod.reset();
    return [
      reached("containers left on the host", "none"),
      noneFailed("lone, whose one replica moved", visits.lone),
      noneFailed("pair", visits.pair),
    ];
  },
};
