/**
 * Which images a host must keep although it runs them no more: those that a rollback of its services would need.
 *
 * What must stay true: for every service with a job on the host, the image of its current release and of its newest
 * ten. When that is more than a message may hold, newer ones of all services come before older ones of any.
 */
import type { ServiceId } from "@berth/shared/domain/ids.ts";

/** How many releases of a service may be gone back to without a pull. */
export const ROLLBACK_RELEASES = 10;

export interface ReleaseImage {
  readonly serviceId: ServiceId;
  readonly version: number;
  readonly digest: string;
  readonly isCurrent: boolean;
}

/**
 * @param releases in any order
 * @param most digests at most
 */
export function rollbackTargets(
  releases: readonly ReleaseImage[],
  servicesHere: ReadonlySet<ServiceId>,
  most: number,
): string[] {
  const here = releases.filter(({ serviceId }) => servicesHere.has(serviceId));
  const ranked = [...Map.groupBy(here, ({ serviceId }) => serviceId).values()].flatMap((own) =>
    own
      .toSorted((a, b) => Number(b.isCurrent) - Number(a.isCurrent) || b.version - a.version)
      .slice(0, ROLLBACK_RELEASES + 1)
      .map((release, rank) => ({ ...release, rank })),
  );
  ranked.sort((a, b) => a.rank - b.rank || (a.serviceId < b.serviceId ? -1 : 1));
  return [...new Set(ranked.map(({ digest }) => digest))].slice(0, most).sort();
}
