/**
 * What a case is: something happens to the pod, and what then held is found. The same code is the test and the
 * rehearsal; only the lengths differ.
 */
import { setTimeout as delay } from "node:timers/promises";
import { hostStates, openJobs } from "./at-rest.ts";
import type { App, HostPod } from "./host-pod.ts";
import type { Timeline } from "./timeline.ts";
import type { Visits } from "./visitors.ts";

export interface Lengths {
  readonly cutMs: number;
  readonly massLossMs: number;
  readonly outageMs: number;
  /** How often a leader is paused in the middle of its work. */
  readonly pausesCount: number;
}

/** For a test. */
export const shortLengths: Lengths = { cutMs: 30_000, massLossMs: 20_000, outageMs: 30_000, pausesCount: 2 };

export interface Finding {
  readonly what: string;
  readonly promise: string;
  readonly measured: string;
  readonly kept: boolean;
  /** `time`: how long it took; judged by a rehearsal, never by a test. */
  readonly kind: "level" | "time";
}

export interface HostCase {
  readonly name: string;
  readonly title: string;
  /** Begins and ends with a pod at rest. */
  run(pod: HostPod, lengths: Lengths): Promise<Finding[]>;
}

export function noneFailed(what: string, { requests, failures, slowestMs }: Visits): Finding {
  const first = failures[0] === undefined ? "" : `, the first: ${failures[0]}`;
  return {
    what: `requests to ${what}`,
    promise: "0 failed",
    measured: `${failures.length} of ${requests} failed, slowest answer ${slowestMs} ms${first}`,
    kept: failures.length === 0 && requests > 0,
    kind: "level",
  };
}

export function same(what: string, before: readonly string[], after: readonly string[]): Finding {
  const lost = before.filter((one) => !after.includes(one));
  const more = after.filter((one) => !before.includes(one));
  const changes = [...lost.map((one) => `- ${one}`), ...more.map((one) => `+ ${one}`)];
  return {
    ...{ what, promise: "unchanged", kind: "level" },
    measured: changes.length === 0 ? `the same ${before.length}` : changes.join(", "),
    kept: changes.length === 0 && before.length > 0,
  };
}

export function within(what: string, ms: number, limitMs: number): Finding {
  return {
    ...{ what, promise: `≤ ${limitMs / 1000} s`, measured: `${(ms / 1000).toFixed(1)} s` },
    ...{ kept: ms <= limitMs, kind: "time" },
  };
}

/** A level that was waited for: a case that does not reach it ends with an error. */
export function reached(what: string, measured: string): Finding {
  return { what, promise: "comes by itself", measured, kept: true, kind: "level" };
}

export function level(what: string, promise: string, kept: boolean, measured: string): Finding {
  return { what, promise, measured, kept, kind: "level" };
}

/** The host of an app's first instance. */
export async function hostOf(pod: HostPod, app: App) {
  const job = (await openJobs(pod)).find(
    ({ service_id, state }) => service_id === app.id && state === "running",
  );
  if (job?.host == null) throw new Error(`${app.name} runs nowhere`);
  return { host: pod.lab.lab.host(job.host), job };
}

/** Notes every change of a host's state, until it is stopped. */
export function watchHosts(pod: HostPod, timeline: Timeline): { stop(): Promise<void> } {
  let stopped = false;
  const known = new Map<string, string>();
  const run = (async () => {
    while (!stopped) {
      // The record may be away: then there is nothing to see.
      for (const [host, state] of await hostStates(pod).catch(() => new Map<string, string>())) {
        const before = known.get(host);
        if (before !== undefined && before !== state) timeline.mark(`${host} is ${state}`);
        known.set(host, state);
      }
      await delay(50);
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await run;
    },
  };
}
