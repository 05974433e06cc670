/**
 * The steps from what the proxy was seen to hold to what it should hold, as values.
 *
 * The order is what makes it safe: servers come in, host names point at them, host names that are gone go,
 * old servers drain, and only a server without connections (or past its grace) is removed. Therefore a host
 * name that has a ready server before and after has one after every single step.
 */
import type { WantedImage, WantedServer } from "./edge-state.ts";

export interface ObservedServer {
  readonly slot: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** `ready` takes new connections when its checks pass, `drain` only keeps what it has, `maint` nothing. */
  readonly admin: "ready" | "drain" | "maint";
}

export interface ObservedImage {
  readonly hosts: ReadonlyMap<string, string>;
  readonly servers: readonly ObservedServer[];
}

export type Step =
  | { readonly kind: "add-server"; readonly slot: string; readonly server: WantedServer }
  | { readonly kind: "ready-server"; readonly slot: string; readonly name: string }
  | { readonly kind: "add-host"; readonly hostname: string; readonly slot: string }
  | { readonly kind: "move-host"; readonly hostname: string; readonly slot: string }
  | { readonly kind: "remove-host"; readonly hostname: string }
  | { readonly kind: "drain-server"; readonly slot: string; readonly name: string }
  | {
      readonly kind: "remove-server";
      readonly slot: string;
      readonly name: string;
      readonly endConnections: boolean;
    };

export interface PlanInput {
  readonly observed: ObservedImage;
  readonly wanted: WantedImage;
  readonly nowMs: number;
  /** `slot/name` → when it was first seen draining. */
  readonly drainingSinceMs: ReadonlyMap<string, number>;
  /** A draining server's connections are ended after this. */
  readonly drainGraceMs: number;
  /** False while the edge does not know every table: then nothing unknown is taken away. */
  readonly mayRemoveUnknown: boolean;
}

export function planSteps(input: PlanInput): Step[] {
  const { observed, wanted, mayRemoveUnknown } = input;
  const seen = new Map(observed.servers.map((server) => [`${server.slot}/${server.name}`, server]));
  const keep = new Set<string>();
  const steps: Step[] = [];
  for (const [slot, servers] of wanted.servers) {
    for (const server of servers) {
      const key = `${slot}/${server.name}`;
      keep.add(key);
      const have = seen.get(key);
      if (have === undefined) steps.push({ kind: "add-server", slot, server });
      else if (have.admin !== "ready") steps.push({ kind: "ready-server", slot, name: server.name });
    }
  }
  for (const [hostname, slot] of wanted.hosts) {
    const have = observed.hosts.get(hostname);
    if (have === undefined) steps.push({ kind: "add-host", hostname, slot });
    else if (have !== slot) steps.push({ kind: "move-host", hostname, slot });
  }
  const known = new Set(wanted.servers.keys());
  if (mayRemoveUnknown) {
    for (const hostname of observed.hosts.keys()) {
      if (!wanted.hosts.has(hostname)) steps.push({ kind: "remove-host", hostname });
    }
  }
  const surplus = observed.servers.filter(
    (server) => !keep.has(`${server.slot}/${server.name}`) && (mayRemoveUnknown || known.has(server.slot)),
  );
  for (const { slot, name, admin } of surplus) {
    if (admin === "ready") steps.push({ kind: "drain-server", slot, name });
  }
  for (const server of surplus) steps.push(...removal(server, input));
  return steps;
}

/** The proxy refuses to remove a server that still has connections: then it is asked again the next time. */
function removal({ slot, name, admin }: ObservedServer, input: PlanInput): Step[] {
  if (admin === "ready") return [];
  const since = input.drainingSinceMs.get(`${slot}/${name}`) ?? input.nowMs;
  const endConnections = input.nowMs - since >= input.drainGraceMs;
  return [{ kind: "remove-server", slot, name, endConnections }];
}

/** Tidying up may wait; everything else must be done before a table counts as applied. */
export function isUrgent(step: Step): boolean {
  return step.kind !== "remove-server";
}

/**
 * Environments whose table the proxy was seen to serve in full.
 * @param sites host name → environment, for every host name that should be served
 */
export function appliedEnvironments(
  observed: ObservedImage,
  wanted: WantedImage,
  ownerOf: ReadonlyMap<string, string>,
  environmentIds: readonly string[],
): Set<string> {
  const ready = new Map<string, Set<string>>();
  for (const { slot, name, admin } of observed.servers) {
    if (admin !== "ready") continue;
    const names = ready.get(slot) ?? new Set<string>();
    ready.set(slot, names.add(name));
  }
  const applied = new Set(environmentIds);
  for (const [hostname, slot] of wanted.hosts) {
    const names = ready.get(slot) ?? new Set<string>();
    const servers = wanted.servers.get(slot) ?? [];
    const same = names.size === servers.length && servers.every(({ name }) => names.has(name));
    if (observed.hosts.get(hostname) !== slot || !same) applied.delete(ownerOf.get(hostname) ?? "");
  }
  return applied;
}
