/** Says before a deploy begins how it goes, and whether it has downtime and because of what. Pure. */
import { isPaced, type Rollout } from "@berth/shared/domain/rollout.ts";
import type { ProcessWish } from "./views.ts";

export interface PlannedDeploy {
  readonly version: number;
  /** Version in rotation now; null before the first deploy succeeded. */
  readonly servingVersion: number | null;
  /** Process types of the release. */
  readonly processes: ReadonlySet<string>;
  readonly wishes: readonly ProcessWish[];
  readonly rollouts: ReadonlyMap<string, Rollout>;
  /** At most one instance per slot may run, so the old one stops before the new one starts. */
  readonly singleWriter: boolean;
}

export function describePlan(deploy: PlannedDeploy): string {
  const { version, servingVersion, singleWriter } = deploy;
  const wanted = deploy.wishes.filter(({ process, scale }) => scale > 0 && deploy.processes.has(process));
  const counts = wanted
    .toSorted(
      (a, b) => Number(b.process === "web") - Number(a.process === "web") || (a.process < b.process ? -1 : 1),
    )
    .map(({ process, scale }) => `${process}=${scale}`)
    .join(", ");
  if (wanted.length === 0) return `v${version} starts nothing: every process is scaled to 0`;
  if (servingVersion === null) return `v${version} is the first release: ${counts}`;
  if (singleWriter)
    return `this deploy will have downtime, because the service is a single writer: v${servingVersion} stops before v${version} starts (${counts})`;
  const web = wanted.find(({ process }) => process === "web");
  const pace = describePace(wanted, deploy.rollouts);
  if (pace !== "")
    return `start-first, no downtime, slot by slot: ${pace}. v${servingVersion} and v${version} both answer meanwhile`;
  const plan = `start-first, no downtime: v${servingVersion} runs until ${counts} of v${version} are ready`;
  if (web === undefined) return plan;
  const routed = `${plan} and every edge knows them`;
  return web.scale > 1 ? routed : `${routed}. With web=1 the failure of one host interrupts the service`;
}

function describePace(wanted: readonly ProcessWish[], rollouts: ReadonlyMap<string, Rollout>): string {
  return wanted
    .flatMap(({ process, scale }) => {
      const rollout = rollouts.get(process);
      if (rollout === undefined || !isPaced(rollout)) return [];
      const { canary, batch, minReadyMs } = rollout;
      const proven = minReadyMs === null ? "" : `, each ready for ${minReadyMs / 1000} s`;
      const first = canary === null ? [] : [`${Math.min(canary, scale)} first`];
      const rest = batch === null ? "then the rest" : `${canary === null ? "" : "then "}${batch} at a time`;
      return [`${process}=${scale}: ${[...first, rest].join(", ")}${proven}`];
    })
    .join("; ");
}
