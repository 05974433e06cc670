/**
 * How the kernel says that it killed for memory, and what that means for a container's end.
 *
 * The engine's own flag misses kills of child processes and comes late or never when the container ends at once; so
 * the kernel's counters (while the container lives) and its log (after the container's cgroup is gone) are read too.
 */

/** @returns the path of the memory cgroup in `/proc/PID/cgroup`, with the hierarchy it belongs to */
export function parseCgroup(text: string): { readonly version: 1 | 2; readonly path: string } | null {
  const lines = text.split("\n").map((line) => /^(\d+):([^:]*):(\/.*)$/.exec(line));
  const v1 = lines.find((parts) => parts?.[2]?.split(",").includes("memory"));
  if (v1?.[3] !== undefined) return { version: 1, path: v1[3] };
  const v2 = lines.find((parts) => parts?.[1] === "0" && parts[2] === "");
  return v2?.[3] === undefined ? null : { version: 2, path: v2[3] };
}

/** @returns the kills that `memory.oom_control` (v1) or `memory.events` (v2) counts */
export function parseOomKills(text: string): number | null {
  const found = /^oom_kill (\d+)$/m.exec(text);
  return found?.[1] === undefined ? null : Number(found[1]);
}

/** @returns the container whose own limit was hit, from one record of the kernel's log */
export function parseKernelOom(record: string): string | null {
  if (!record.includes("oom-kill:constraint=CONSTRAINT_MEMCG")) return null;
  const cgroup = /[,;]oom_memcg=([^,\n]+)/.exec(record)?.[1] ?? "";
  return /([0-9a-f]{64})/.exec(cgroup)?.[1] ?? null;
}

export interface OomFacts {
  readonly exitCode: number | null;
  /** The engine's flag or event. */
  readonly engineSays: boolean;
  /** Kills that the kernel counted for this container. */
  readonly killsCount: number;
  /** How long before its end the last kill was seen; null: none was. */
  readonly lastKillAgoMs: number | null;
  /** Whether the kernel's log can be read here: then no kill at the end goes uncounted. */
  readonly kernelTells: boolean;
}

const SIGKILLED = 137;
/** A process that loses a child ends soon after, or lives on. */
const CAUSE_WITHIN_MS = 10_000;

/** Whether memory ended the container. A child that was killed long before the end did not. */
export function judgeOom(facts: OomFacts): {
  readonly outOfMemory: boolean;
  readonly earlierKillsCount: number;
} {
  const isFresh = facts.lastKillAgoMs !== null && facts.lastKillAgoMs <= CAUSE_WITHIN_MS;
  const engineAlone = facts.engineSays && facts.killsCount === 0;
  const mayBeUncounted = !facts.kernelTells && facts.killsCount > 0 && facts.exitCode === SIGKILLED;
  const outOfMemory = isFresh || engineAlone || mayBeUncounted;
  return { outOfMemory, earlierKillsCount: outOfMemory ? 0 : facts.killsCount };
}
