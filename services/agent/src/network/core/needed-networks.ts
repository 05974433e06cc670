/**
 * Environments in whose networks this host is without a job of theirs: those whose services jobs here may reach, and
 * those whose gateway it is. Links of an environment that has no job here need nothing: they do not reach further.
 */
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import type { HeldNetwork } from "./network-state.ts";

/** @param used environments with jobs here */
export function neededWithoutJobs(
  held: readonly Pick<HeldNetwork, "environmentId" | "network">[],
  used: ReadonlySet<string>,
  hostId: string,
): Set<EnvironmentId> {
  const own = held.filter(({ environmentId }) => used.has(environmentId));
  const led = held.filter(({ network }) => network.gateway?.hostId === hostId);
  return new Set([
    ...own.flatMap(({ network }) => network.links.map(({ environmentId }) => environmentId)),
    ...led.map(({ environmentId }) => environmentId),
  ]);
}
