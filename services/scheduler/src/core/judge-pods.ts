/**
 * Which hosts are alive, suspect or lost, pod by pod.
 *
 * What must stay true: a pod that is cut off as a whole loses nothing, however many other hosts are heard; and when
 * more than half of all hosts fall silent at once, no pod loses anything.
 */
import type { HostSilence, HostVerdict, SilenceLimits } from "./judge-hosts.ts";
import { judgeHosts } from "./judge-hosts.ts";

export interface PodHostSilence extends HostSilence {
  readonly pod: string;
}

export interface PodVerdicts {
  readonly verdicts: HostVerdict[];
  /** Pods in which nothing is declared lost now, sorted. */
  readonly frozenPods: string[];
}

/**
 * @param hearingSinceMs when this scheduler began to hear heartbeats without a break
 * @param frozenAtMs when each pod was last frozen
 */
export function judgePods(
  hosts: readonly PodHostSilence[],
  nowMs: number,
  hearingSinceMs: number,
  limits: SilenceLimits,
  frozenAtMs: ReadonlyMap<string, number> = new Map(),
): PodVerdicts {
  const all = judgeHosts(hosts, nowMs, hearingSinceMs, limits);
  const pods = Map.groupBy(hosts, ({ pod }) => pod);
  if (all.frozen) return { verdicts: all.verdicts, frozenPods: [...pods.keys()].sort() };
  const frozenPods: string[] = [];
  const verdicts: HostVerdict[] = [];
  for (const [pod, members] of pods) {
    const judged = judgeHosts(members, nowMs, hearingSinceMs, limits, frozenAtMs.get(pod));
    verdicts.push(...judged.verdicts);
    if (judged.frozen) frozenPods.push(pod);
  }
  return { verdicts, frozenPods: frozenPods.sort() };
}
