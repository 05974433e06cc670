/** What the proxy counted: `show stat` of its backends, and whose they are. */
import type { EdgeState } from "./edge-state.ts";
import { isActivator, isPassName, slotName } from "./edge-state.ts";
import type { ObservedServer } from "./plan-steps.ts";

export interface SlotTraffic {
  /** Sessions since the proxy started. */
  readonly sessions: number;
  readonly openNow: number;
}

export interface EdgeTraffic {
  readonly proxyPid: number;
  /** Service → what its host names had. */
  readonly services: ReadonlyMap<string, SlotTraffic>;
}

/** @throws Error when a column is missing: what is not counted must not look like quiet */
export function parseTraffic(text: string): Map<string, SlotTraffic> {
  const [head = "", ...rest] = text.split("\n").filter((line) => line.trim() !== "");
  // Every command of several says its columns.
  const lines = rest.filter((line) => !line.startsWith("#"));
  const columns = head.replace(/^#\s*/, "").split(",");
  const at = (name: string): number => {
    const index = columns.indexOf(name);
    if (index < 0) throw new Error(`show stat: no column ${name}`);
    return index;
  };
  const [slot, total, open] = [at("pxname"), at("stot"), at("scur")];
  return new Map(
    lines.map((line) => {
      const cells = line.split(",", Math.max(slot, total, open) + 1);
      const traffic = { sessions: Number(cells[total]), openNow: Number(cells[open]) };
      if (!Number.isFinite(traffic.sessions + traffic.openNow))
        throw new Error(`show stat: ${line.slice(0, 100)}`);
      return [cells[slot] ?? "", traffic];
    }),
  );
}

/** Past this many the proxy is asked for all: one long answer costs less than so many short ones. */
const MOST_NAMED = 100;

/** Slots of those that are instances. */
export function instanceSlots(servers: readonly ObservedServer[]): string[] {
  return servers.filter((one) => !isActivator(one) && !isPassName(one.slot)).map(({ slot }) => slot);
}

/**
 * What the proxy must be asked for: slots of services that are awake, and of those that fall asleep and have a connection
 * to an instance still. What sleeps is asked for through its activator, which knows.
 *
 * @param inUse slots with a server that is no activator; @returns null for all
 */
export function slotsToCount({ tables, hosts }: EdgeState, inUse: Iterable<string>): string[] | null {
  const slots = new Set(inUse);
  for (const { sites } of Object.values(tables))
    for (const { hostname, sleep } of sites) {
      const slot = sleep === undefined ? hosts[hostname]?.slot : undefined;
      if (slot !== undefined) slots.add(slotName(slot));
    }
  return slots.size > MOST_NAMED ? null : [...slots];
}

export function edgeTraffic(
  { tables, hosts }: EdgeState,
  proxyPid: number,
  bySlot: ReadonlyMap<string, SlotTraffic>,
): EdgeTraffic {
  const services = new Map<string, SlotTraffic>();
  for (const { sites } of Object.values(tables)) {
    for (const { hostname, serviceId } of sites) {
      const slot = hosts[hostname]?.slot;
      const own = slot === undefined ? undefined : bySlot.get(slotName(slot));
      if (own === undefined) continue;
      const sum = services.get(serviceId) ?? { sessions: 0, openNow: 0 };
      const more = { sessions: sum.sessions + own.sessions, openNow: sum.openNow + own.openNow };
      services.set(serviceId, more);
    }
  }
  return { proxyPid, services };
}
