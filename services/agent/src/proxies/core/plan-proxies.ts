/**
 * What is done about one environment's proxies on this host. Pure.
 *
 * What must stay true: one that edges are told of goes only after they were told otherwise; while an environment needs
 * proxies, the last one that its table names does not go before another host had time to have one.
 */

export interface SeenProxy {
  readonly instance: string;
  /** Image and profile that it was made with. */
  readonly form: string;
  /** `gone`: its container does not run any more. */
  readonly phase: "starting" | "serving" | "leaving" | "gone";
  /** In its phase, or, for one that served before and does not now, since then. */
  readonly sinceMs: number;
  /** Whether the newest table sends edges to it. */
  readonly isNamed: boolean;
}

export interface ProxiesFacts {
  readonly nowMs: number;
  /** The environment has a job here and sites whose HTTPS ends in its proxies. */
  readonly isWanted: boolean;
  /** It has such sites. */
  readonly isNeeded: boolean;
  readonly unwantedSinceMs: number | null;
  /** The newest table names another host's proxy. */
  readonly hasOthers: boolean;
  readonly form: string;
  readonly proxies: readonly SeenProxy[];
  /** After failures no other is started before this. */
  readonly notBeforeMs: number;
}

export type ProxyStep =
  | { readonly kind: "start" }
  | { readonly kind: "leave"; readonly instance: string }
  /** `graceful`: what is open may end. */
  | { readonly kind: "remove"; readonly instance: string; readonly graceful: boolean };

/** Another host's proxy gets so long to come. */
export const LAST_STAYS_MS = 60_000;
/** Edges that were told later still connect. */
const TOLD_MS = 3000;
/** Nobody is told any more, whatever the table says: the router is away. */
const MOST_LEAVING_MS = 30_000;
/** One that does not serve within this is made anew. */
export const MOST_STARTING_MS = 30_000;

export function planProxies(facts: ProxiesFacts): ProxyStep[] {
  const { proxies, nowMs, form, isWanted } = facts;
  const remove = proxies.flatMap((proxy): ProxyStep[] => {
    const { instance, phase, isNamed, sinceMs } = proxy;
    const ageMs = nowMs - sinceMs;
    if (phase === "gone") return [{ kind: "remove", instance, graceful: false }];
    if (phase === "starting" && ageMs >= MOST_STARTING_MS)
      return [{ kind: "remove", instance, graceful: false }];
    const isLeft = phase === "leaving" && ageMs >= (isNamed ? MOST_LEAVING_MS : TOLD_MS);
    return isLeft ? [{ kind: "remove", instance, graceful: true }] : [];
  });
  const removed = new Set(remove.map((step) => ("instance" in step ? step.instance : "")));
  const here = proxies.filter(({ instance, phase }) => phase !== "leaving" && !removed.has(instance));
  if (!isWanted) {
    if (!mayLeave(facts)) return remove;
    return [...remove, ...here.map(({ instance }): ProxyStep => ({ kind: "leave", instance }))];
  }
  const right = here.filter((proxy) => proxy.form === form);
  if (right.length === 0) return nowMs < facts.notBeforeMs ? remove : [...remove, { kind: "start" }];
  const successor = right.find(({ phase, isNamed }) => phase === "serving" && isNamed);
  if (successor === undefined) return remove;
  const former = here.filter((proxy) => proxy !== successor);
  return [...remove, ...former.map(({ instance }): ProxyStep => ({ kind: "leave", instance }))];
}

function mayLeave({ isNeeded, hasOthers, unwantedSinceMs, nowMs, proxies }: ProxiesFacts): boolean {
  const isServing = proxies.some(({ phase }) => phase === "serving");
  return !isNeeded || hasOthers || !isServing || nowMs - (unwantedSinceMs ?? nowMs) >= LAST_STAYS_MS;
}

/** Between two starts after the nth failure in a row. */
export function startAgainMs(failures: number): number {
  return failures === 0 ? 0 : Math.min(60_000, 1000 * 2 ** (failures - 1));
}
