/** PlanRebalance: what would be moved now. Any scheduler answers; nothing is moved by it. */
import type { PlanRebalance } from "@berth/shared/contracts/rebalance.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { ActivityBook } from "../core/activity-book.ts";
import type { HostRegistry } from "../outbound/host-registry.ts";
import type { Rebalancer } from "../outbound/rebalancer.ts";
import { readSnapshot } from "../outbound/snapshot.ts";
import type { Tables } from "../outbound/tables.ts";

export function onPlanRebalance(given: { db: Kysely<Tables>; hosts: HostRegistry; rebalancer: Rebalancer }) {
  return async ({ mostMoves }: z.infer<typeof PlanRebalance.payload>) => {
    const snapshot = await readSnapshot(given.db, {
      unplaceable: new Map(),
      reported: [],
      frozenHosts: given.hosts.frozenHosts,
      activity: new ActivityBook(),
    });
    return { moves: await given.rebalancer.plan(snapshot, mostMoves) };
  };
}
