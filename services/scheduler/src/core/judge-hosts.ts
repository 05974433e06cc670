/**
 * Which hosts are alive, suspect or lost, from how long they were silent.
 *
 * What must stay true: losing the control plane's own sight is not the hosts' death. Silence counts only from when
 * this scheduler could hear; when more than half of the hosts fall silent at once nothing is declared lost; and
 * they come back one after the other, so the silence of those that are still away counts anew from then.
 */
import type { HostId } from "@berth/shared/domain/ids.ts";

export interface HostSilence {
  readonly hostId: HostId;
  readonly lastHeartbeatAtMs: number;
  readonly state: "alive" | "suspect" | "lost";
}

export interface HostVerdict {
  readonly hostId: HostId;
  readonly state: "alive" | "suspect" | "lost";
}

export interface SilenceLimits {
  readonly suspectAfterMs: number;
  readonly lostAfterMs: number;
}

/**
 * @param hearingSinceMs when this scheduler began to hear heartbeats without a break
 * @param frozenAtMs when more than half of these hosts were last seen to be silent
 */
export function judgeHosts(
  hosts: readonly HostSilence[],
  nowMs: number,
  hearingSinceMs: number,
  limits: SilenceLimits,
  frozenAtMs = Number.NEGATIVE_INFINITY,
): { verdicts: HostVerdict[]; frozen: boolean } {
  const silentMs = (host: HostSilence) => nowMs - Math.max(host.lastHeartbeatAtMs, hearingSinceMs);
  const missing = hosts.filter((host) => host.state !== "lost" && silentMs(host) >= limits.suspectAfterMs);
  const counted = hosts.filter((host) => host.state !== "lost");
  const frozen = missing.length > 0 && missing.length * 2 > counted.length;
  const verdicts = hosts.map((host): HostVerdict => {
    const silent = silentMs(host);
    if (silent < limits.suspectAfterMs && host.lastHeartbeatAtMs >= hearingSinceMs)
      return { hostId: host.hostId, state: "alive" };
    if (host.state === "lost") return { hostId: host.hostId, state: "lost" };
    if (silent < limits.suspectAfterMs) return { hostId: host.hostId, state: host.state };
    if (Math.min(silent, nowMs - frozenAtMs) >= limits.lostAfterMs && !frozen)
      return { hostId: host.hostId, state: "lost" };
    return { hostId: host.hostId, state: "suspect" };
  });
  return { verdicts, frozen };
}
