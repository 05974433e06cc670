/**
 * Decides when a service falls asleep and when it is awake again.
 *
 * What must stay true: nothing of a service stops before every edge sends its requests to the activators and acknowledged
 * that, and before what was open ended; whoever carries a step out checks that the sleep is still where it was.
 */
import type { SleepCause, SleepLevel, SleepState } from "@berth/shared/domain/sleep.ts";
import { slotKey, wantedSlots } from "./slots.ts";
import type { PlanLimits, ServiceView, Step } from "./views.ts";

export interface SleepOrderView {
  readonly wanted: "sleep" | "wake";
  readonly level: SleepLevel;
  readonly atMs: number;
}

export interface SleepView {
  readonly state: SleepState;
  readonly epoch: number;
  readonly level: SleepLevel;
  readonly cause: SleepCause;
  readonly sinceMs: number;
  /** The owner's order that was not taken yet. */
  readonly order: SleepOrderView | null;
  /** Every live edge sends the service's requests to the activators. */
  readonly held: boolean;
  /** The owner lets it sleep when nobody asked for it for so long; null: never by itself. */
  readonly afterMs: number | null;
  readonly idleLevel: SleepLevel;
  /** Since when no live edge saw a request or an open connection of it; null: some edge was not heard. */
  readonly quietSinceMs: number | null;
}

export const AWAKE: SleepView = {
  state: "awake",
  epoch: 0,
  level: "stopped",
  cause: "asked",
  sinceMs: 0,
  order: null,
  held: false,
  afterMs: null,
  idleLevel: "stopped",
  quietSinceMs: null,
};

type SleepStep = Extract<Step, { kind: "step-sleep" }>;

export function planSleep(view: ServiceView, nowMs: number, limits: PlanLimits): SleepStep[] {
  const { sleep } = view;
  const { order } = sleep;
  switch (sleep.state) {
    case "awake":
      if (order?.wanted === "wake") return [to(view, "awake", "order")];
      if (!maySleep(view)) return [];
      return order !== null || isIdle(view, nowMs) ? [to(view, "falling", null)] : [];
    case "falling":
      if (order?.wanted === "wake") return [to(view, "awake", "order")];
      if (!maySleep(view)) return [to(view, "awake", "deploy")];
      if (sleep.cause === "idle" && !isQuiet(view)) return [to(view, "awake", "request")];
      return sleep.held && nowMs >= sleep.sinceMs + limits.drainMs ? [to(view, "asleep", null)] : [];
    case "asleep":
      if (order?.wanted === "wake") return [to(view, "waking", "order")];
      if (isBeingDeployed(view)) return [to(view, "waking", "deploy")];
      return order === null ? [] : [to(view, "asleep", null)];
    case "waking":
      if (serves(view)) return [to(view, "awake", null)];
      return order?.wanted === "wake" ? [to(view, "waking", null)] : [];
  }
}

/** A step that changes no state only takes the order. */
function to(view: ServiceView, state: SleepState, wokenBy: SleepStep["wokenBy"]): SleepStep {
  const { sleep } = view;
  const falls = sleep.state === "awake" && state === "falling";
  const ordered = sleep.order?.wanted === "sleep";
  return {
    kind: "step-sleep",
    from: { state: sleep.state, epoch: sleep.epoch },
    to: state,
    level: ordered ? sleep.order.level : falls ? sleep.idleLevel : sleep.level,
    cause: falls ? (ordered ? "asked" : "idle") : sleep.cause,
    orderAtMs: sleep.order?.atMs ?? null,
    wokenBy: sleep.state === state ? null : wokenBy,
  };
}

function isBeingDeployed(view: ServiceView): boolean {
  return view.openDeploys.length > 0 || (view.target !== null && !view.targetDeployExists);
}

/** Never a single writer: what holds a volume is not stopped because nobody asks over the edge. */
function maySleep(view: ServiceView): boolean {
  if (view.deleted || view.serving === null || view.policy.singleWriter || isBeingDeployed(view))
    return false;
  return !view.jobs.some((job) => job.partition.singleWriter && job.desired === "run");
}

/**
 * Nobody asked for it at any edge for as long as its owner says, and nothing of it works without being asked. What came
 * into rotation a moment ago had no time to be asked for.
 */
function isIdle(view: ServiceView, nowMs: number): boolean {
  const { afterMs, quietSinceMs, sinceMs } = view.sleep;
  if (afterMs === null || quietSinceMs === null || view.serving === null) return false;
  const wanted = [...wantedSlots(view.wishes, view.serving).values()];
  if (wanted.length === 0 || wanted.some(({ process }) => process !== "web")) return false;
  const newest = Math.max(quietSinceMs, sinceMs, ...view.jobs.map((job) => job.rotationSinceMs));
  return nowMs - newest >= afterMs;
}

/** Looked at again while it falls: a connection that an edge had open still, or was made meanwhile, keeps it awake. */
function isQuiet({ sleep }: ServiceView): boolean {
  return sleep.afterMs !== null && sleep.quietSinceMs !== null && sleep.quietSinceMs <= sleep.sinceMs;
}

/** One instance that answers is enough to route again; the rest follows as after any loss. */
function serves(view: ServiceView): boolean {
  if (view.serving === null || view.deleted) return true;
  const wanted = wantedSlots(view.wishes, view.serving);
  const web = [...wanted].filter(([, slot]) => slot.process === "web");
  const asked = new Set((web.length > 0 ? web : [...wanted]).map(([key]) => key));
  return asked.size === 0 || view.jobs.some((job) => job.ready && asked.has(slotKey(job.process, job.slot)));
}

/** While it sleeps nothing of it is made, moved or replaced: its next request does that. */
export function isAsleep({ sleep }: ServiceView): boolean {
  return sleep.state === "asleep";
}
