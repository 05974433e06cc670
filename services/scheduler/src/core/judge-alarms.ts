/** What an operator should know of the pod right now, and which of the open alarms begin, change or end by it. */
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { HostVerdict } from "./judge-hosts.ts";

export interface Alarm {
  readonly code: "evictions-frozen" | "clock-skew";
  /** A host's id, or a pod's name. */
  readonly subject: string;
  readonly detail: string;
}

export interface AlarmChanges {
  readonly raised: readonly Alarm[];
  readonly changed: readonly Alarm[];
  readonly cleared: readonly Alarm[];
}

/** Leases and awards allow for half a second; logs and certificates suffer from more. */
const MOST_SKEW_MS = 2000;
/** Fewer heartbeats than this may all have been late. */
const LEAST_SAMPLES = 3;
const SAMPLES = 5;

/** The last differences between the time in a host's heartbeats and the scheduler's. */
export type SkewSamples = readonly number[];

export function addSkew(samples: SkewSamples, heartbeatAtMs: number, nowMs: number): SkewSamples {
  return [...samples.slice(1 - SAMPLES), heartbeatAtMs - nowMs];
}

/** A message may be late, never early: the host's clock is at least as fast as its fastest heartbeat says. */
export function skewOf(samples: SkewSamples): number | null {
  return samples.length < LEAST_SAMPLES ? null : Math.max(...samples);
}

export function isSkewed(samples: SkewSamples): boolean {
  return Math.abs(skewOf(samples) ?? 0) > MOST_SKEW_MS;
}

/** A pod in which nothing is given up now. */
export interface Freeze {
  readonly pod: string;
  readonly silentCount: number;
  readonly hostsCount: number;
}

export function countFreezes(
  hosts: readonly { readonly hostId: HostId; readonly pod: string }[],
  verdicts: readonly HostVerdict[],
  frozenPods: readonly string[],
): Freeze[] {
  const states = new Map(verdicts.map(({ hostId, state }) => [hostId, state]));
  return frozenPods.map((pod) => {
    const members = hosts.filter((host) => host.pod === pod).map(({ hostId }) => states.get(hostId));
    const counted = members.filter((state) => state !== "lost");
    const silentCount = counted.filter((state) => state === "suspect").length;
    return { pod, silentCount, hostsCount: counted.length };
  });
}

export function judgeAlarms(freezes: readonly Freeze[], skews: ReadonlyMap<HostId, SkewSamples>): Alarm[] {
  const alarms = freezes.map(
    ({ pod, silentCount, hostsCount }): Alarm => ({
      code: "evictions-frozen",
      subject: pod,
      detail: `evictions frozen: ${silentCount} of ${hostsCount} hosts silent`,
    }),
  );
  for (const [hostId, samples] of skews) {
    const skewMs = skewOf(samples);
    if (skewMs === null || !isSkewed(samples)) continue;
    const way = skewMs > 0 ? "ahead of" : "behind";
    alarms.push({
      code: "clock-skew",
      subject: hostId,
      detail: `its clock is ${Math.round(Math.abs(skewMs) / 1000)} s ${way} the scheduler's`,
    });
  }
  return alarms;
}

export function compareAlarms(open: readonly Alarm[], wanted: readonly Alarm[]): AlarmChanges {
  const key = (alarm: Alarm) => `${alarm.code} ${alarm.subject}`;
  const before = new Map(open.map((alarm) => [key(alarm), alarm]));
  const after = new Set(wanted.map(key));
  return {
    raised: wanted.filter((alarm) => !before.has(key(alarm))),
    changed: wanted.filter((alarm) => (before.get(key(alarm))?.detail ?? alarm.detail) !== alarm.detail),
    cleared: open.filter((alarm) => !after.has(key(alarm))),
  };
}
