/**
 * The steps from what the proxy was seen to hold to what it should hold, as values.
 *
 * The order is what makes it safe: servers come in, host names point at them, host names that are gone go,
 * old servers drain, and only a server without connections (or past its grace) is removed. Therefore a host
 * name that has a ready server before and after has one after every single step.
 */
import { isActivator, type WantedImage, type WantedServer } from "./edge-state.ts";

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
  /** As wanted. */
  readonly names: ReadonlyMap<string, string>;
  /** Host name → who may reach it. */
  readonly sources: ReadonlyMap<string, ObservedSources>;
}

export interface ObservedSources {
  /** Whether nobody but `cidrs` may. */
  readonly isClosed: boolean;
  readonly cidrs: ReadonlySet<string>;
}

const NO_LIST: ObservedSources = { isClosed: false, cidrs: new Set() };

export type Step =
  | { readonly kind: "add-server"; readonly slot: string; readonly server: WantedServer }
  | { readonly kind: "ready-server"; readonly slot: string; readonly name: string }
  | { readonly kind: "add-host"; readonly hostname: string; readonly slot: string }
  | { readonly kind: "move-host"; readonly hostname: string; readonly slot: string }
  | { readonly kind: "remove-host"; readonly hostname: string }
  | { readonly kind: "pass-name"; readonly name: string; readonly pass: string; readonly isNew: boolean }
  | { readonly kind: "open-name"; readonly name: string }
  | { readonly kind: "allow-source"; readonly hostname: string; readonly cidr: string }
  | { readonly kind: "close-host"; readonly hostname: string }
  | { readonly kind: "refuse-source"; readonly hostname: string; readonly cidr: string }
  | { readonly kind: "open-host"; readonly hostname: string }
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
  steps.push(...planSources(input));
  for (const [hostname, slot] of wanted.hosts) {
    const have = observed.hosts.get(hostname);
    if (have === undefined) steps.push({ kind: "add-host", hostname, slot });
    else if (have !== slot) steps.push({ kind: "move-host", hostname, slot });
  }
  steps.push(...planNames(input));
  const known = new Set(wanted.servers.keys());
  if (mayRemoveUnknown) {
    for (const hostname of observed.hosts.keys()) {
      if (!wanted.hosts.has(hostname)) steps.push({ kind: "remove-host", hostname });
    }
  }
  steps.push(...forgottenSources(input));
  const surplus = observed.servers.filter(
    (server) => !keep.has(`${server.slot}/${server.name}`) && (mayRemoveUnknown || known.has(server.slot)),
  );
  for (const { slot, name, admin } of surplus) {
    if (admin === "ready") steps.push({ kind: "drain-server", slot, name });
  }
  for (const server of surplus) steps.push(...removal(server, input));
  return steps;
}

/** Names are passed on once there is somebody to pass them to, and no longer before who opens them goes. */
function planNames({ observed, wanted, mayRemoveUnknown }: PlanInput): Step[] {
  const steps: Step[] = [];
  for (const [name, pass] of wanted.names) {
    const have = observed.names.get(name);
    if (have !== pass) steps.push({ kind: "pass-name", name, pass, isNew: have === undefined });
  }
  for (const name of observed.names.keys())
    if (mayRemoveUnknown && !wanted.names.has(name)) steps.push({ kind: "open-name", name });
  return steps;
}

/**
 * Allow-lists before host names: one that comes is closed to others from its first moment. Networks come in before a
 * host name is closed, and go after it was opened, so nobody who may reach it before and after is refused between.
 */
function planSources({ observed, wanted }: PlanInput): Step[] {
  return [...wanted.hosts.keys()].flatMap((hostname): Step[] => {
    const { isClosed, cidrs } = observed.sources.get(hostname) ?? NO_LIST;
    const want = wanted.sources.get(hostname);
    return [
      ...[...(want ?? [])]
        .filter((cidr) => !cidrs.has(cidr))
        .map((cidr) => ({ kind: "allow-source" as const, hostname, cidr })),
      ...(want === undefined && isClosed ? [{ kind: "open-host" as const, hostname }] : []),
      ...[...cidrs]
        .filter((cidr) => want?.has(cidr) !== true)
        .map((cidr) => ({ kind: "refuse-source" as const, hostname, cidr })),
      ...(want !== undefined && !isClosed ? [{ kind: "close-host" as const, hostname }] : []),
    ];
  });
}

/** The list of a host name goes when the host name was seen to be gone. */
function forgottenSources({ observed, wanted, mayRemoveUnknown }: PlanInput): Step[] {
  if (!mayRemoveUnknown) return [];
  return [...observed.sources]
    .filter(([hostname]) => !wanted.hosts.has(hostname) && !observed.hosts.has(hostname))
    .flatMap(([hostname, { isClosed, cidrs }]): Step[] => [
      ...[...cidrs].map((cidr) => ({ kind: "refuse-source" as const, hostname, cidr })),
      ...(isClosed ? [{ kind: "open-host" as const, hostname }] : []),
    ]);
}

/** The proxy refuses to remove a server that still has connections: then it is asked again the next time. */
function removal({ slot, name, admin }: ObservedServer, input: PlanInput): Step[] {
  if (admin === "ready") return [];
  const since = input.drainingSinceMs.get(`${slot}/${name}`) ?? input.nowMs;
  // What came through the activator is an app's connection, which may last: it ends by itself.
  const endConnections = !isActivator({ name }) && input.nowMs - since >= input.drainGraceMs;
  return [{ kind: "remove-server", slot, name, endConnections }];
}

/** Tidying up may wait; everything else must be done before a table counts as applied. */
export function isUrgent(step: { readonly kind: string }): boolean {
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
  const hasServers = (slot: string): boolean => {
    const names = ready.get(slot) ?? new Set<string>();
    const servers = wanted.servers.get(slot) ?? [];
    return names.size === servers.length && servers.every(({ name }) => names.has(name));
  };
  for (const name of new Set([...observed.names.keys(), ...wanted.names.keys()])) {
    const pass = wanted.names.get(name);
    if (observed.names.get(name) !== pass || (pass !== undefined && !hasServers(pass)))
      applied.delete(ownerOf.get(name) ?? "");
  }
  for (const [hostname, slot] of wanted.hosts) {
    const same = hasServers(slot);
    const { isClosed, cidrs } = observed.sources.get(hostname) ?? NO_LIST;
    const want = wanted.sources.get(hostname);
    const isListed = cidrs.size === (want?.size ?? 0) && [...(want ?? [])].every((cidr) => cidrs.has(cidr));
    const isClosedSo = isClosed === (want !== undefined) && isListed;
    if (observed.hosts.get(hostname) !== slot || !same || !isClosedSo)
      applied.delete(ownerOf.get(hostname) ?? "");
  }
  return applied;
}
