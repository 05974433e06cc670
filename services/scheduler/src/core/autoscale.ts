/**
 * Decides how many instances a process should have for its load.
 *
 * Pure. What must stay true: never outside of its limits; never fewer because of what is not known; two changes are never
 * closer than the cool-down asks, so a steady load comes to a steady count. It grows sooner than it shrinks, and shrinks only
 * when the smaller count would have a fifth to spare.
 */
import type { Autoscale } from "@berth/shared/domain/autoscale.ts";

export interface ProcessLoad {
  /** Mean of the last seconds over all edges; null: some edge was not heard, and nothing is known. */
  readonly inFlight: number | null;
  /** Mean share of the CPU limit over the instances, in [0, 1] as a rule; null: not measured. */
  readonly cpuShare: number | null;
}

export interface AutoscaleGiven {
  readonly rule: Autoscale;
  /** As many as are wished for now. */
  readonly current: number;
  readonly load: ProcessLoad;
  /** When the count was changed last. */
  readonly changedAtMs: number;
}

export interface AutoscaleDecision {
  readonly to: number;
  readonly reason: string;
}

/** A new instance must have the time to get its share before more are asked for. */
export const GROW_REST_MS = 15_000;
const SPARE = 0.8;

interface Need {
  readonly instances: number;
  readonly words: string;
}

export function decideScale(
  { rule, current, load, changedAtMs }: AutoscaleGiven,
  nowMs: number,
): AutoscaleDecision {
  if (current < rule.min) return { to: rule.min, reason: `at least ${rule.min} are asked for` };
  if (current > rule.max) return { to: rule.max, reason: `at most ${rule.max} are allowed` };
  const needs = [byRequests(rule, current, load), byCpu(rule, current, load)].filter((need) => need !== null);
  const known = needs.filter((need) => need !== "unknown");
  const unknown = known.length < needs.length;
  const [most] = known.toSorted((a, b) => b.instances - a.instances);
  if (most === undefined)
    return { to: current, reason: "its load is not known: some edge or host was not heard" };
  const wanted = Math.min(rule.max, Math.max(rule.min, most.instances));
  const limit = most.instances > rule.max ? `, at most ${rule.max} are allowed` : "";
  const because = `${most.words} ask for ${most.instances}${limit}`;
  if (wanted === current) return { to: current, reason: because };
  const restMs = wanted > current ? Math.min(GROW_REST_MS, rule.cooldownMs) : rule.cooldownMs;
  const leftMs = changedAtMs + restMs - nowMs;
  if (leftMs > 0)
    return { to: current, reason: `${because}; cools down for ${Math.ceil(leftMs / 1000)} s more` };
  if (wanted > current) return { to: Math.min(wanted, 2 * current + 1), reason: because };
  if (unknown) return { to: current, reason: `${because}; the rest of its load is not known` };
  return { to: current - 1, reason: because };
}

function byRequests(rule: Autoscale, current: number, { inFlight }: ProcessLoad): Need | "unknown" | null {
  if (rule.requests === null) return null;
  if (inFlight === null) return "unknown";
  const words = `${round(inFlight)} requests in flight, ${rule.requests} per instance,`;
  return { instances: needed(inFlight, rule.requests, current), words };
}

function byCpu(rule: Autoscale, current: number, { cpuShare }: ProcessLoad): Need | "unknown" | null {
  if (rule.cpu === null) return null;
  if (cpuShare === null) return "unknown";
  const words = `${Math.round(cpuShare * 100)} % CPU of ${current}, ${rule.cpu} % per instance,`;
  return { instances: needed(cpuShare * 100 * current, rule.cpu, current), words };
}

/** More as soon as the load asks for it; fewer only with something to spare. */
function needed(load: number, perInstance: number, current: number): number {
  const least = Math.max(1, Math.ceil(load / perInstance - 1e-9));
  if (least >= current) return least;
  return Math.min(current, Math.max(1, Math.ceil(load / (perInstance * SPARE) - 1e-9)));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
