import fc from "fast-check";
import { expect, it } from "vitest";
import { chooseNextBuild } from "./choose-next-build.ts";

const waits = (id: string, orgId: string, queuedAtMs: number, serviceId = id) => ({
  id,
  orgId,
  serviceId,
  queuedAtMs,
});

it("prefers the org with fewest running builds, then the oldest", () => {
  const waiting = [waits("a1", "a", 1), waits("a2", "a", 2), waits("b1", "b", 9)];
  expect(chooseNextBuild(waiting, [])?.id).toBe("a1");
  expect(chooseNextBuild(waiting, [{ orgId: "a", serviceId: "x" }])?.id).toBe("b1");
  expect(
    chooseNextBuild(waiting, [
      { orgId: "a", serviceId: "x" },
      { orgId: "b", serviceId: "y" },
    ])?.id,
  ).toBe("a1");
});

it("never runs two builds of one service", () => {
  expect(chooseNextBuild([waits("a1", "a", 1, "s")], [{ orgId: "a", serviceId: "s" }])).toBeNull();
  expect(chooseNextBuild([], [])).toBeNull();
});

it("does not depend on the order of what waits", () => {
  const entry = fc.record({
    id: fc.uuid(),
    orgId: fc.constantFrom("a", "b", "c"),
    serviceId: fc.uuid(),
    queuedAtMs: fc.nat(5),
  });
  fc.assert(
    fc.property(
      fc.uniqueArray(entry, { selector: (e) => e.id, maxLength: 12 }),
      fc.nat(),
      (waiting, turn) => {
        const turned = [...waiting.slice(turn % 12), ...waiting.slice(0, turn % 12)];
        expect(chooseNextBuild(turned, [])).toEqual(chooseNextBuild(waiting, []));
      },
    ),
  );
});
