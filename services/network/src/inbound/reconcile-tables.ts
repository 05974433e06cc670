/** Makes the tables anew and tells each host those that are its own. */
import { MeshChanged, NetworkChanged } from "@berth/shared/contracts/network.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely } from "kysely";
import { NETWORKS_LIMIT_BYTES } from "../core/fit-networks.ts";
import type { Pools } from "../core/place-member.ts";
import { EVERYTHING, storeTables, type Told, type Which } from "../outbound/table-store.ts";
import type { NetworkTables } from "../outbound/tables.ts";

export interface TablesGiven {
  readonly db: Kysely<NetworkTables>;
  readonly bus: Bus;
  readonly log: Log;
  readonly pools: Pools;
  /**
   * Makes the tables and tells them; what was stored before the call is in them when it resolves, but for names of more
   * instances, which may wait for others.
   */
  readonly reconcile: () => Promise<void>;
  /** The same for some of the tables, at their cost. @returns them as they are then */
  readonly reconcileOf: (which: Which) => Promise<Told>;
  /** Makes and tells the mesh within a moment: joins that come together, as of one environment's hosts, share one. */
  readonly reconcileMeshSoon: () => void;
}

/** Callers at the same time share one run, which begins after they called. */
export function sharedRuns(run: () => Promise<unknown>): () => Promise<void> {
  let running: Promise<void> = Promise.resolve();
  let next: Promise<void> | null = null;
  return () => {
    next ??= running.then(() => {
      next = null;
      const begun = run().then(() => undefined);
      running = begun.catch(() => undefined);
      return begun;
    });
    return next;
  };
}

/** Calls within this time after the first one lead to one run at its end. */
export function gathered(run: () => void, waitMs: number): () => void {
  let isWaiting = false;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    setTimeout(() => {
      isWaiting = false;
      run();
    }, waitMs).unref();
  };
}

export interface RunGiven extends Pick<TablesGiven, "db" | "bus" | "log" | "pools"> {
  /** Asks for another run of these, so long after this one. */
  readonly again: (waiting: readonly string[], afterMs: number) => void;
}

/** A signal that is lost, or too large to be one, is healed by the host's own asking. */
export async function reconcileTables(
  { db, bus, log, pools, again }: RunGiven,
  which: Which = EVERYTHING,
): Promise<Told> {
  const { networks, mesh, all, waiting, againInMs } = await storeTables(db, pools, which);
  if (againInMs !== null) again(waiting, againInMs);
  for (const network of networks) {
    const { environmentId, version, members, names } = network;
    log.info("network.changed", { environmentId, version, members: members.length, names: names.length });
    if (JSON.stringify(network).length > NETWORKS_LIMIT_BYTES) continue;
    for (const { hostId } of members) bus.signal(NetworkChanged, { hostId, network });
  }
  if (mesh === null) return all;
  log.info("mesh.changed", { version: mesh.version, hosts: mesh.hosts.length });
  if (JSON.stringify(mesh).length <= NETWORKS_LIMIT_BYTES) bus.signal(MeshChanged, { mesh });
  return all;
}
