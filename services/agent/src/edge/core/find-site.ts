/** Whose a host name is: its own entry, else that of the wildcard that covers it. */
import type { RouteSite } from "@berth/shared/contracts/route.ts";
import { wildcardOf } from "@berth/shared/domain/domain-name.ts";
import type { EdgeState } from "./edge-state.ts";

export function findSite(state: EdgeState, hostname: string): RouteSite | undefined {
  return siteOf(state, hostname) ?? siteOf(state, wildcardOf(hostname));
}

export function findOwner({ hosts }: EdgeState, hostname: string): string | undefined {
  return (hosts[hostname] ?? hosts[wildcardOf(hostname)])?.environmentId;
}

function siteOf({ hosts, tables }: EdgeState, hostname: string): RouteSite | undefined {
  const owner = hosts[hostname]?.environmentId;
  return owner === undefined ? undefined : tables[owner]?.sites.find((site) => site.hostname === hostname);
}
