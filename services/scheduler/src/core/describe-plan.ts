/** Says before a deploy begins how it goes, and whether it has downtime and because of what. Pure. */
import type { ProcessWish } from "./views.ts";

export interface PlannedDeploy {
  readonly version: number;
  /** Version in rotation now; null before the first deploy succeeded. */
  readonly servingVersion: number | null;
  /** Process types of the release. */
  readonly processes: ReadonlySet<string>;
  readonly wishes: readonly ProcessWish[];
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
  const plan = `start-first, no downtime: v${servingVersion} runs until ${counts} of v${version} are ready`;
  if (web === undefined) return plan;
  const routed = `${plan} and every edge knows them`;
  return web.scale > 1 ? routed : `${routed}. With web=1 the failure of one host interrupts the service`;
}
