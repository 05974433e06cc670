/** Changes of tables: the least text, and what nft is expected to show after it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  changeText,
  isSameShown,
  type NftTable,
  nftSet,
  type ShownTable,
  shownAfter,
  shownTable,
  wholeText,
} from "./nft-table.ts";

const table = (
  nodes: readonly string[],
  merged: readonly string[] = [],
  chains = "  chain a {\n  }\n",
): NftTable => ({
  family: "inet",
  name: "berth",
  sets: [
    nftSet("nodes", "ipv4_addr", nodes),
    nftSet("closed", "ipv4_addr; flags interval; auto-merge", merged),
  ],
  chains,
});

/** As `nft --stateless list table` writes it. */
const listing = ({ sets }: NftTable): string =>
  `table inet berth {\n${sets
    .map(({ kind, name, type, elements }) => {
      const list = elements.length === 0 ? "" : `\t\telements = { ${elements.join(",\n\t\t\t     ")} }\n`;
      return `\t${kind} ${name} {\n\t\ttype ${type}\n${list}\t}\n`;
    })
    .join("\n")}\n\tchain a {\n\t\ttype filter hook forward priority -10; policy accept;\n\t}\n}\n`;

test("a change names what went and what came, and no other element", () => {
  const text = changeText(table(["10.0.0.1", "10.0.0.2"]), table(["10.0.0.2", "10.0.0.3"]));
  expect(text).toBe(
    "delete element inet berth nodes { 10.0.0.1 }\nadd element inet berth nodes { 10.0.0.3 }\n",
  );
  expect(changeText(table(["10.0.0.1"]), table(["10.0.0.1"]))).toBe("");
});

test("other chains, and sets whose elements nft merges, need the whole", () => {
  expect(changeText(table([]), table([], [], "  chain b {\n  }\n"))).toBeNull();
  expect(changeText(table([], ["10.0.0.0/8"]), table([], ["10.0.0.0/9"]))).toBeNull();
});

test("the whole has one line per set, however many elements", () => {
  const lines = (count: number) =>
    wholeText(table(Array.from({ length: count }, (_, i) => `10.0.0.${i + 1}`))).split("\n").length;
  expect(lines(200)).toBe(lines(1));
});

const addresses = fc.uniqueArray(fc.integer({ min: 1, max: 12 }).map((n) => `10.0.0.${n}`));

test("what is expected after changes is what is shown of the last table", () => {
  fc.assert(
    fc.property(fc.array(addresses, { minLength: 2, maxLength: 6 }), (steps) => {
      const tables = steps.map((nodes) => table(nodes));
      const [first, ...rest] = tables as [NftTable, ...NftTable[]];
      let before = first;
      let expected: ShownTable = shownTable(listing(first));
      for (const after of rest) {
        expected = shownAfter(expected, before, after);
        before = after;
      }
      expect(isSameShown(expected, shownTable(listing(before)))).toBe(true);
    }),
  );
});

test("an element, a rule or a set that somebody took or put is seen", () => {
  const whole = shownTable(listing(table(["10.0.0.1", "10.0.0.2"])));
  const text = listing(table(["10.0.0.1", "10.0.0.2"]));
  for (const other of [
    listing(table(["10.0.0.1"])),
    listing(table(["10.0.0.1", "10.0.0.2", "10.0.0.3"])),
    listing(table(["10.0.0.1", "10.0.0.3"])),
    text.replace("policy accept", "policy drop"),
    text.replace("\tset closed", "\tset opened"),
    "",
  ])
    expect(isSameShown(shownTable(other), whole)).toBe(false);
});
