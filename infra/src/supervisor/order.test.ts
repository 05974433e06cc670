import fc from "fast-check";
import { expect, test } from "vitest";
import { inStartOrder } from "./order.ts";

test("every item comes after what it depends on, for any graph without circles", () => {
  const graph = fc.array(fc.array(fc.nat(30), { maxLength: 5 }), { maxLength: 20 }).map((rows) =>
    rows.map((row, index) => ({
      name: `p${index}`,
      dependsOn: row.filter((needed) => needed < index).map((needed) => `p${needed}`),
    })),
  );
  fc.assert(
    fc.property(graph, (items) => {
      const seen = new Set<string>();
      for (const item of inStartOrder([...items].reverse())) {
        expect(item.dependsOn.every((name) => seen.has(name))).toBe(true);
        seen.add(item.name);
      }
      expect(seen.size).toBe(items.length);
    }),
  );
});

test("a circle is refused and printed", () => {
  const items = [
    { name: "a", dependsOn: ["b"] },
    { name: "b", dependsOn: ["a"] },
  ];
  expect(() => inStartOrder(items)).toThrow("a -> b -> a");
});
