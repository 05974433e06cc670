/**
 * What an edge should serve: the newest route table of every environment, and which slot each host name has.
 *
 * A slot is a HAProxy backend declared in advance, because HAProxy before 3.4 cannot add one at run time.
 * What must stay true:
 *  - a host name keeps its slot for as long as a table lists it, across restarts (the state is on disk);
 *  - a slot that a host name gave up is `retiring` until the proxy was seen without a server in it, so that one
 *    tenant's last connections and another tenant's first ones never meet in one backend;
 *  - a lower version never replaces a higher one, and a host name stays with the environment that has it.
 */
import { type RouteProxy, RouteTable } from "@berth/shared/contracts/route.ts";
import { formatCidr, parseCidr } from "@berth/shared/domain/cidr.ts";
import { HttpOptions } from "@berth/shared/domain/http-options.ts";
import { z } from "zod";
import { isCertificateName } from "./edge-tls.ts";

export const INITIAL_SLOTS = 256;
/** Environments with proxies of their own that an edge passes TLS on to. */
export const INITIAL_PASSES = 64;
/** HAProxy 2.6 checks a configuration with this many backends in well under a second. */
export const MAX_SLOTS = 8192;

export const EdgeState = z.strictObject({
  format: z.literal(1),
  slots: z.int().min(1).max(MAX_SLOTS),
  tables: z.record(z.string(), RouteTable),
  /** Host name → who has it, and where. */
  hosts: z.record(z.string(), z.strictObject({ environmentId: z.string(), slot: z.int().min(0) })),
  retiring: z.array(z.int().min(0)),
  /** Where the host's activator listens, on 127.0.0.1; null before it said so: then sleepers answer 503. */
  activatorPort: z.int().min(1).max(65_535).nullable().default(null),
  /** Environment → the backend that leads to its own proxies, of as many; and those that were given up, as with slots. */
  passes: z.record(z.string(), z.int().min(0)).default({}),
  passSlots: z.int().min(1).max(MAX_SLOTS).default(INITIAL_PASSES),
  retiringPasses: z.array(z.int().min(0)).default([]),
});
export type EdgeState = z.infer<typeof EdgeState>;

export const EMPTY_STATE: EdgeState = {
  format: 1,
  slots: INITIAL_SLOTS,
  tables: {},
  hosts: {},
  retiring: [],
  activatorPort: null,
  passes: {},
  passSlots: INITIAL_PASSES,
  retiringPasses: [],
};

/** Why a table, or one of its host names, is not served. */
export type TableRefusal =
  | {
      readonly code: "older-version";
      readonly environmentId: string;
      readonly version: number;
      readonly have: number;
    }
  | { readonly code: "bad-hostname"; readonly environmentId: string; readonly hostname: string }
  | { readonly code: "bad-certificate-name"; readonly environmentId: string; readonly hostname: string }
  | { readonly code: "bad-options"; readonly environmentId: string; readonly hostname: string }
  | { readonly code: "hostname-listed-twice"; readonly environmentId: string; readonly hostname: string }
  | { readonly code: "backend-listed-twice"; readonly environmentId: string; readonly hostname: string }
  | {
      readonly code: "hostname-taken";
      readonly environmentId: string;
      readonly hostname: string;
      readonly by: string;
    }
  | {
      readonly code: "too-many-hostnames";
      readonly environmentId: string;
      readonly hostname: string;
      readonly limit: number;
    };

export interface Merge {
  readonly state: EdgeState;
  readonly refusals: readonly TableRefusal[];
  /** Environments whose table is held, but not every host name of it: these are never acknowledged. */
  readonly incomplete: ReadonlySet<string>;
}

const LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
const HOSTNAME = new RegExp(`^(\\*\\.)?${LABEL}(\\.${LABEL})*$`);

/** Lower case, no port, no trailing dot, perhaps a wildcard before it: the only form that may enter a configuration file or a command. */
export function isHostname(text: string): boolean {
  return text.length <= 253 && HOSTNAME.test(text);
}

/** Takes the newer tables and gives their host names slots; what is not mentioned stays as it is. */
export function mergeTables(state: EdgeState, tables: readonly RouteTable[]): Merge {
  const refusals: TableRefusal[] = [];
  const held: Record<string, RouteTable> = { ...state.tables };
  for (const table of tables) {
    const refusal = refuseTable(table, held[table.environmentId]);
    if (refusal === null) held[table.environmentId] = table;
    else refusals.push(refusal);
  }
  return assignSlots({ ...state, tables: held }, refusals);
}

/** Forgets environments that the router no longer names. An empty set of names forgets nothing. */
export function forgetMissing(state: EdgeState, named: ReadonlySet<string>): EdgeState {
  if (named.size === 0) return state;
  const tables = Object.fromEntries(Object.entries(state.tables).filter(([id]) => named.has(id)));
  return assignSlots({ ...state, tables }, []).state;
}

function refuseTable(table: RouteTable, have: RouteTable | undefined): TableRefusal | null {
  const { environmentId, version } = table;
  if (have !== undefined && version < have.version) {
    return { code: "older-version", environmentId, version, have: have.version };
  }
  const seen = new Set<string>();
  for (const { hostname, backends, tls, http } of table.sites) {
    if (!isHostname(hostname)) return { code: "bad-hostname", environmentId, hostname };
    if (tls !== undefined && !isCertificateName(tls.name, hostname))
      return { code: "bad-certificate-name", environmentId, hostname };
    if (http !== undefined && !HttpOptions.safeParse(http).success)
      return { code: "bad-options", environmentId, hostname };
    if (seen.has(hostname)) return { code: "hostname-listed-twice", environmentId, hostname };
    seen.add(hostname);
    const names = new Set(backends.map((b) => serverName(b)));
    if (names.size !== backends.length) return { code: "backend-listed-twice", environmentId, hostname };
  }
  return null;
}

function assignSlots(state: EdgeState, earlier: readonly TableRefusal[]): Merge {
  const refusals = [...earlier];
  const incomplete = new Set<string>();
  const listed = new Map<string, Set<string>>();
  for (const table of Object.values(state.tables)) {
    listed.set(table.environmentId, new Set(table.sites.map((site) => site.hostname)));
  }
  const kept = Object.entries(state.hosts).filter(([host, { environmentId }]) =>
    listed.get(environmentId)?.has(host),
  );
  const hosts = new Map(kept);
  const retiring = new Set(state.retiring);
  for (const [host, { slot }] of Object.entries(state.hosts)) if (!hosts.has(host)) retiring.add(slot);
  const taken = new Set([...retiring, ...[...hosts.values()].map(({ slot }) => slot)]);
  let next = 0;
  for (const [environmentId, names] of [...listed].sort(byFirst)) {
    for (const hostname of names) {
      const owner = hosts.get(hostname)?.environmentId;
      if (owner === environmentId) continue;
      while (taken.has(next)) next++;
      if (owner !== undefined) refusals.push({ code: "hostname-taken", environmentId, hostname, by: owner });
      else if (next >= MAX_SLOTS) {
        refusals.push({ code: "too-many-hostnames", environmentId, hostname, limit: MAX_SLOTS });
      } else {
        hosts.set(hostname, { environmentId, slot: next });
        taken.add(next);
        continue;
      }
      incomplete.add(environmentId);
    }
  }
  const slots = slotsFor(state.slots, Math.max(-1, ...taken) + 1);
  return {
    state: {
      ...state,
      ...assignPasses(state),
      slots,
      hosts: Object.fromEntries(hosts),
      retiring: [...retiring].sort((a, b) => a - b),
    },
    refusals,
    incomplete,
  };
}

/** True for a site whose HTTPS ends in its environment's own proxies. */
export function isProxied({ tls }: Pick<RouteTable["sites"][number], "tls">): boolean {
  return tls?.proxied !== undefined;
}

/** Names that clients ask for and that the table's proxies serve. */
function passedNames({ sites, proxies = [] }: RouteTable): string[] {
  if (proxies.length === 0) return [];
  return sites.flatMap(({ tls }) => (tls?.proxied === true ? tls.name : []));
}

function assignPasses(state: EdgeState): Pick<EdgeState, "passes" | "passSlots" | "retiringPasses"> {
  const needed = Object.values(state.tables)
    .filter((table) => passedNames(table).length > 0)
    .map(({ environmentId }): string => environmentId)
    .sort();
  const kept = Object.entries(state.passes).filter(([id]) => needed.includes(id));
  const given = Object.entries(state.passes).filter(([id]) => !needed.includes(id));
  const passes = new Map(kept);
  const retiring = new Set([...state.retiringPasses, ...given.map(([, slot]) => slot)]);
  const taken = new Set([...retiring, ...passes.values()]);
  let next = 0;
  for (const id of needed) {
    if (passes.has(id)) continue;
    while (taken.has(next)) next++;
    if (next >= MAX_SLOTS) break;
    passes.set(id, next);
    taken.add(next);
  }
  return {
    passes: Object.fromEntries(passes),
    passSlots: slotsFor(state.passSlots, Math.max(-1, ...taken) + 1),
    retiringPasses: [...retiring].sort((a, b) => a - b),
  };
}

/** Doubles until `needed` slots fit: the rare case, since it costs a reload. */
function slotsFor(slots: number, needed: number): number {
  let enough = slots;
  while (enough < needed) enough = Math.min(enough * 2, MAX_SLOTS);
  return enough;
}

function byFirst(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}

/** A server's name says all that it is, so an existing server never has to change. */
export function serverName(backend: { jobId: string; address: string; port: number }): string {
  return `${backend.jobId}-${backend.address}-${backend.port}`;
}

export function slotName(slot: number): string {
  return `slot_${slot}`;
}

export function passName(slot: number): string {
  return `pass_${slot}`;
}

/** False for the configuration's own backends. */
export function isSlotName(name: string): boolean {
  return /^(slot|pass)_\d+$/.test(name);
}

/** One that leads to an environment's own proxies. */
export function isPassName(name: string): boolean {
  return name.startsWith("pass_");
}

/** How the name of the activator among the servers begins. */
export const ACTIVATOR = "activator-";

/** True for the host's activator, which holds the requests of services that sleep. */
export function isActivator(server: { readonly name: string }): boolean {
  return server.name.startsWith(ACTIVATOR);
}
/** Where the map leads host names that the edge itself answers 503 for; no slot is named so. */
export const MAINTENANCE = "maintenance";

export interface WantedServer {
  readonly name: string;
  readonly address: string;
  /** Null: the address is that of a unix socket. */
  readonly port: number | null;
}

export function endpointOf({ address, port }: WantedServer): string {
  return port === null ? `unix@${address}` : `${address}:${port}`;
}

/** How the name of another host's proxy begins: it is used while the own host has none that answers. */
export const OTHER_HOST = "other-";

/** What the proxy should hold: host name → slot, and slot → servers. */
export interface WantedImage {
  readonly hosts: ReadonlyMap<string, string>;
  readonly servers: ReadonlyMap<string, readonly WantedServer[]>;
  /** Host name → source networks that may reach it; not in here: everybody. */
  readonly sources: ReadonlyMap<string, ReadonlySet<string>>;
  /** Name that clients ask for in the handshake → the backend that leads to who opens it. */
  readonly names: ReadonlyMap<string, string>;
}

/** What of the state is the host's and not a table's. */
export interface EdgePlace {
  /** Where the activator listens, for a proxy that cannot reach the host's ports. */
  readonly activatorSocket: string | null;
  readonly hostId: string | null;
}

const NO_PLACE: EdgePlace = { activatorSocket: null, hostId: null };

export function wantedImage(state: EdgeState, place: EdgePlace = NO_PLACE): WantedImage {
  const hosts = new Map<string, string>();
  const servers = new Map<string, readonly WantedServer[]>();
  const sources = new Map<string, ReadonlySet<string>>();
  const names = new Map<string, string>();
  const activator = activatorServers(state, place);
  for (const table of Object.values(state.tables)) {
    const pass = state.passes[table.environmentId];
    if (pass !== undefined) {
      servers.set(passName(pass), (table.proxies ?? []).map(proxyServer(place.hostId)));
      for (const name of passedNames(table))
        if (state.hosts[name]?.environmentId === table.environmentId) names.set(name, passName(pass));
    }
    for (const site of table.sites) {
      const have = state.hosts[site.hostname];
      if (have === undefined || have.environmentId !== table.environmentId) continue;
      hosts.set(site.hostname, site.maintenance === true ? MAINTENANCE : slotName(have.slot));
      if (site.allow !== undefined) sources.set(site.hostname, new Set(site.allow.map(canonicalCidr)));
      servers.set(
        slotName(have.slot),
        site.sleep === undefined
          ? site.backends.map((b) => ({ name: serverName(b), address: b.address, port: b.port }))
          : activator,
      );
    }
  }
  return { hosts, servers, sources, names };
}

function activatorServers(
  { activatorPort: port }: EdgeState,
  { activatorSocket }: EdgePlace,
): WantedServer[] {
  if (activatorSocket !== null) return [{ name: `${ACTIVATOR}socket`, address: activatorSocket, port: null }];
  return port === null ? [] : [{ name: `${ACTIVATOR}${port}`, address: "127.0.0.1", port }];
}

function proxyServer(ownHostId: string | null) {
  return ({ hostId, address, port }: RouteProxy): WantedServer => ({
    name: `${hostId === ownHostId ? "own-" : OTHER_HOST}${address}-${port}`,
    ...{ address, port },
  });
}

/** Nothing else enters a file or a command of the proxy; what is no network matches no source. */
function canonicalCidr(text: string): string {
  const cidr = parseCidr(text);
  return cidr === null ? "none" : formatCidr(cidr);
}

/** Some site of the tables that are held has an instance, here or on another host. */
export function hasBackends({ tables }: Pick<EdgeState, "tables">): boolean {
  return Object.values(tables).some(({ sites }) => sites.some(({ backends }) => backends.length > 0));
}
