/**
 * Whether a host rests: everything on it sleeps, its edge serves no instance anywhere and it leads nobody else's traffic. Then
 * nobody uses its networks, and looks at them may be rare. And which environments rest here, on a host that does not.
 *
 * What must stay true: from a moment after the first job wakes, or is awarded, looks come as often as on any other host.
 */
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import type { DesiredHost, DesiredNetwork } from "../network/core/network-state.ts";
import type { JobRecord } from "./job-record.ts";

type Lying = Pick<JobRecord, "state" | "sleep" | "stopWanted">;

/** One without a job does not rest: it waits for work. */
export function isResting(records: readonly Lying[]): boolean {
  return records.length > 0 && records.every(isDown);
}

/** Nothing of the job runs, or is about to. */
function isDown({ state, sleep, stopWanted }: Lying): boolean {
  return (state === "asleep" || state === "frozen") && sleep !== null && !stopWanted;
}

/**
 * Environments of which everything on this host sleeps: nothing here sends through their tunnels. Those whose traffic the
 * host leads, or whose services are linked to what runs here, do not rest.
 */
export function restingEnvironments(
  records: readonly (Lying & Pick<JobRecord, "spec">)[],
  desired: Pick<DesiredHost, "networks" | "linkSources"> | null,
): Set<string> {
  const linked = new Set(desired?.linkSources.map(({ subnet }) => subnet));
  const awake = new Set(records.filter((one) => !isDown(one)).map(({ spec }) => spec.environmentId));
  const present = new Set(records.map(({ spec }) => spec.environmentId));
  return new Set(
    (desired?.networks ?? [])
      .filter((network) => !linked.has(network.subnet) && !leads(network))
      .map(({ environmentId }) => environmentId as EnvironmentId)
      .filter((id) => present.has(id) && !awake.has(id)),
  );
}

/** Other hosts' containers leave the pod through this one, or people's machines come in by it. */
export function leadsOthers(desired: Pick<DesiredHost, "networks"> | null): boolean {
  return (desired?.networks ?? []).some(leads);
}

function leads({ exit, tunnel }: DesiredNetwork): boolean {
  return exit.kind === "gateway" || (tunnel?.people.length ?? 0) > 0;
}

/** A period that follows what the host does: asked at every tick, which is short. */
export class ChangingPeriod {
  #lastMs = Number.NEGATIVE_INFINITY;

  /**
   * @param everyMs 0: at every tick
   * @param nowMs of a clock that never goes back
   * @returns whether to look now; then the next look counts from here
   */
  isDue(everyMs: number, nowMs: number): boolean {
    if (nowMs - this.#lastMs < everyMs) return false;
    this.#lastMs = nowMs;
    return true;
  }
}

/** What is asked often and costs much: an answer is given again until it is so old. @param nowMs of a clock that never goes back */
export function answeredAgain<T>(forMs: number, nowMs: () => number, ask: () => T): () => T {
  let last: { readonly answer: T; readonly atMs: number } | null = null;
  return () => {
    if (last === null || nowMs() - last.atMs >= forMs) last = { answer: ask(), atMs: nowMs() };
    return last.answer;
  };
}
