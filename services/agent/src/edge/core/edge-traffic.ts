/** What the proxy counted: `show stat` of its backends, and whose they are. */
import type { EdgeState } from "./edge-state.ts";
import { slotName } from "./edge-state.ts";

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
  const [head = "", ...lines] = text.split("\n").filter((line) => line.trim() !== "");
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
