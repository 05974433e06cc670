/** Route tables to the host's edge, and the word back that the proxy serves them. */
import {
  GetRouteTables,
  type ProxyReport,
  RouteApplied,
  RouteTableChanged,
} from "@berth/shared/contracts/route.ts";
import { EnvironmentId, type HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Acknowledgement, Edge } from "../edge/edge-types.ts";

/** What takes tables and serves them. */
type Serving = Pick<Edge, "apply" | "known">;

export interface RoutesGiven {
  readonly bus: Bus;
  readonly hostId: HostId;
  readonly clock: Clock;
}

/** @param taken called as soon as the edge holds the table, before its proxy serves it */
export function onRouteTableChanged(given: RoutesGiven, edge: Serving, taken: () => void) {
  return given.bus.on(RouteTableChanged, {}, async ({ table }) => {
    const applied = edge.apply([table]);
    setImmediate(taken);
    tellApplied(given, await applied);
  });
}

/** Says what proxies this host has, and asks for what is newer than what the edge has; a whole answer also drops environments that are gone. */
export async function askRouteTables(
  given: RoutesGiven,
  edge: Serving,
  proxies?: Record<string, ProxyReport>,
): Promise<void> {
  const { hostId } = given;
  const known = { ...edge.known() };
  const told = proxies === undefined ? {} : { proxies };
  const reply = await given.bus.request(GetRouteTables, { hostId, known, ...told });
  const named = reply.whole ? new Set(Object.keys(reply.versions)) : undefined;
  if (reply.tables.length === 0 && named === undefined) return;
  tellApplied(given, await edge.apply(reply.tables, named));
}

/** A lost word is healed by the next heartbeat, and by the router, which tells the table again to who is behind. */
export function tellApplied(given: RoutesGiven, acknowledgements: readonly Acknowledgement[]): void {
  for (const { environmentId, version } of acknowledgements) {
    crashPoint("agent.routes-applied");
    const atMs = given.clock.nowMs();
    const payload = {
      hostId: given.hostId,
      environmentId: EnvironmentId.parse(environmentId),
      version,
      atMs,
    };
    given.bus.signal(RouteApplied, payload);
  }
}
