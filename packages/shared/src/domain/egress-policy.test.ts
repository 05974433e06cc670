/** Egress rules: as text, and as spans that say the same without overlapping. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { addressOf, formatCidr, parseCidr, sizeOf } from "./cidr.ts";
import { type EgressRule, egressSpans, formatEgressRule, parseEgressRule } from "./egress-policy.ts";

test.each([
  ["203.0.113.0/24", "203.0.113.0/24"],
  ["203.0.113.7", "203.0.113.7/32"],
  ["203.0.113.7:443", "203.0.113.7/32:443/tcp"],
  ["0.0.0.0/0:53/udp", "0.0.0.0/0:53/udp"],
  ["198.51.100.0/24:8000-8010/tcp", "198.51.100.0/24:8000-8010/tcp"],
])("%s is %s", (text, canonical) => {
  const rule = parseEgressRule(text);
  expect(rule === null ? null : formatEgressRule(rule)).toBe(canonical);
  expect(parseEgressRule(canonical)).toEqual(rule);
});

test.each([
  ...["203.0.113.7/24", "203.0.113.0/33", "example.org", "203.0.113.7:0", "203.0.113.7:70000"],
  ...["203.0.113.7:90-80", "203.0.113.7/udp", "::1", "203.0.113.7:443; drop", ""],
])("%s is no rule", (text) => expect(parseEgressRule(text)).toBeNull());

/** Few addresses and ports, so that rules nest and touch. */
const anyRule = fc
  .record({
    bits: fc.integer({ min: 26, max: 32 }),
    host: fc.integer({ min: 0, max: 63 }),
    protocol: fc.constantFrom("any" as const, "tcp" as const, "udp" as const),
    ports: fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 })),
  })
  .map(({ bits, host, protocol, ports }): EgressRule => {
    const base = parseCidr("203.0.113.0/26")?.address ?? 0;
    const address = base + Math.floor(host / sizeOf(bits)) * sizeOf(bits);
    const [firstPort, lastPort] = protocol === "any" ? [1, 65_535] : [Math.min(...ports), Math.max(...ports)];
    return { cidr: formatCidr({ address, bits }), protocol, firstPort, lastPort };
  });

function allows(rule: EgressRule, address: number, protocol: string, port: number): boolean {
  const { address: first, bits } = parseCidr(rule.cidr) ?? { address: 0, bits: 32 };
  const inside = address >= first && address < first + sizeOf(bits);
  const fits = rule.protocol === "any" || rule.protocol === protocol;
  return inside && fits && port >= rule.firstPort && port <= rule.lastPort;
}

test("spans allow exactly what the rules allow, and no two of one kind overlap", () => {
  fc.assert(
    fc.property(fc.array(anyRule, { maxLength: 12 }), (rules) => {
      const spans = egressSpans(rules);
      const base = parseCidr("203.0.113.0/26")?.address ?? 0;
      for (let address = base - 1; address <= base + 64; address++)
        for (const protocol of ["tcp", "udp"])
          for (const port of [1, 5, 12, 13]) {
            const hits = (kind: "any" | "ports") =>
              spans.filter(
                ({ first, last, ports }) =>
                  address >= first &&
                  address <= last &&
                  (ports === null
                    ? kind === "any"
                    : kind === "ports" &&
                      ports.protocol === protocol &&
                      port >= ports.first &&
                      port <= ports.last),
              ).length;
            const wanted = rules.some((rule) => allows(rule, address, protocol, port));
            const found = [hits("any"), hits("ports")];
            expect(
              Math.max(...found),
              `${addressOf({ address, bits: 32 }, 0)} ${protocol} ${port}`,
            ).toBeLessThan(2);
            expect(found.some((count) => count > 0)).toBe(wanted);
          }
    }),
    { numRuns: 60 },
  );
});

test("neighbours that open the same are one span", () => {
  const rules = ["203.0.113.0/25:443", "203.0.113.128/25:443", "203.0.113.7:443"].map(parseEgressRule);
  const spans = egressSpans(rules.filter((rule) => rule !== null));
  expect(spans).toEqual([
    { first: 3_405_803_776, last: 3_405_804_031, ports: { protocol: "tcp", first: 443, last: 443 } },
  ]);
});
