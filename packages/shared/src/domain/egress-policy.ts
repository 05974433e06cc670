/**
 * Where an environment's containers may connect to outside of the pod.
 *
 * Whatever it says, private ranges, metadata addresses, hosts and SMTP stay closed unless the operator opened them.
 */
import { z } from "zod";
import { parseCidr, sizeOf } from "./cidr.ts";

export const MOST_EGRESS_RULES = 50;
const Port = z.int().min(1).max(65_535);

/** One network; at all ports of all protocols where `protocol` is `any`, else at the ports of one. */
export const EgressRule = z
  .strictObject({
    cidr: z.string().refine((text) => parseCidr(text) !== null, "must be a network such as 203.0.113.0/24"),
    protocol: z.enum(["any", "tcp", "udp"]),
    firstPort: Port,
    lastPort: Port,
  })
  .refine(({ firstPort, lastPort }) => firstPort <= lastPort, "the first port is above the last one")
  .refine(
    ({ protocol, firstPort, lastPort }) => protocol !== "any" || (firstPort === 1 && lastPort === 65_535),
    "ports need a protocol, tcp or udp",
  );
export type EgressRule = z.infer<typeof EgressRule>;

export const EgressPolicy = z
  .strictObject({
    /** `open`: the internet. `list`: what the rules name. `none`: nothing. */
    mode: z.enum(["open", "none", "list"]),
    rules: z.array(EgressRule).max(MOST_EGRESS_RULES),
  })
  .refine(({ mode, rules }) => mode === "list" || rules.length === 0, "only the mode list has rules");
export type EgressPolicy = z.infer<typeof EgressPolicy>;

export const OPEN_EGRESS: EgressPolicy = { mode: "open", rules: [] };

/** Reads `NETWORK[:PORT[-PORT][/tcp|udp]]`; a network without bits is one address. @returns null otherwise */
export function parseEgressRule(text: string): EgressRule | null {
  const match = /^(\d+\.\d+\.\d+\.\d+)(\/\d+)?(?::(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp))?)?$/.exec(text);
  if (match === null) return null;
  const [, address = "", bits = "/32", first, last = first, protocol = "tcp"] = match;
  const parsed = EgressRule.safeParse(
    first === undefined
      ? { cidr: address + bits, protocol: "any", firstPort: 1, lastPort: 65_535 }
      : { cidr: address + bits, protocol, firstPort: Number(first), lastPort: Number(last) },
  );
  return parsed.success ? parsed.data : null;
}

/** As it is read. */
export function formatEgressRule({ cidr, protocol, firstPort, lastPort }: EgressRule): string {
  const ports = firstPort === lastPort ? `${firstPort}` : `${firstPort}-${lastPort}`;
  return protocol === "any" ? cidr : `${cidr}:${ports}/${protocol}`;
}

/** Addresses from … to, both included, with the ports that are open there; null: all of all protocols. */
export interface EgressSpan {
  readonly first: number;
  readonly last: number;
  readonly ports: PortSpan | null;
}

export interface PortSpan {
  readonly protocol: "tcp" | "udp";
  readonly first: number;
  readonly last: number;
}

/**
 * The same permission as spans of which no two overlap: a packet filter takes its elements only like that, and refuses
 * the whole of them otherwise. In order; at most a few per rule where rules do not nest.
 */
export function egressSpans(rules: readonly EgressRule[]): EgressSpan[] {
  const spans: EgressSpan[] = [];
  for (const protocol of ["any", "tcp", "udp"] as const) {
    const own = rules.filter((rule) => rule.protocol === protocol).map(withAddresses);
    const cuts = [...new Set(own.flatMap(({ first, last }) => [first, last + 1]))].sort((a, b) => a - b);
    let before: EgressSpan[] = [];
    cuts.slice(0, -1).forEach((first, i) => {
      const last = (cuts[i + 1] ?? 0) - 1;
      const here = own.filter((rule) => rule.first <= first && rule.last >= last);
      const now = openPorts(protocol, here).map((ports) => ({ first, last, ports }));
      // Neighbours that open the same are one.
      const same = samePorts(before, now) && before[0]?.last === first - 1;
      const joined = same ? now.map((span, n) => ({ ...span, first: before[n]?.first ?? first })) : now;
      if (same) spans.splice(spans.length - before.length, before.length);
      spans.push(...joined);
      before = joined;
    });
  }
  return spans;
}

function withAddresses({ cidr, firstPort, lastPort }: EgressRule) {
  const network = parseCidr(cidr);
  if (network === null) throw new Error(`not a network: ${cidr}`);
  const first = network.address;
  return { first, last: first + sizeOf(network.bits) - 1, firstPort, lastPort };
}

function openPorts(
  protocol: EgressRule["protocol"],
  rules: readonly Pick<EgressRule, "firstPort" | "lastPort">[],
): (PortSpan | null)[] {
  if (rules.length === 0) return [];
  if (protocol === "any") return [null];
  const merged: PortSpan[] = [];
  for (const { firstPort, lastPort } of rules.toSorted((a, b) => a.firstPort - b.firstPort)) {
    const previous = merged.at(-1);
    if (previous === undefined || firstPort > previous.last + 1)
      merged.push({ protocol, first: firstPort, last: lastPort });
    else merged[merged.length - 1] = { ...previous, last: Math.max(previous.last, lastPort) };
  }
  return merged;
}

function samePorts(a: readonly EgressSpan[], b: readonly EgressSpan[]): boolean {
  const text = (spans: readonly EgressSpan[]) => JSON.stringify(spans.map(({ ports }) => ports));
  return a.length > 0 && text(a) === text(b);
}
