import { expect, test } from "vitest";
import { age, duration, table } from "./table.ts";

test("columns are as wide as their longest cell, numbers stand right, nothing trails", () => {
  const columns = [
    { title: "NAME", cell: (row: [string, number | null]) => row[0] },
    { title: "N", align: "right" as const, cell: (row: [string, number | null]) => row[1] },
  ];
  expect(
    table(columns, [
      ["a", 5],
      ["longer", null],
      ["b", 100],
    ]),
  ).toEqual(["NAME      N", "a         5", "longer    -", "b       100"]);
});

test.each([
  [0, "0 s"],
  [119_000, "119 s"],
  [180_000, "3 min"],
  [7_200_000, "2 h"],
  [3 * 86_400_000, "3 d"],
  [-5, "0 s"],
])("%d ms ago is %s", (ms, shown) => {
  expect(age(0, ms)).toBe(shown);
});

test.each([
  [3.4, "3 ms"],
  [1234, "1.23 s"],
  [65_432, "65.4 s"],
])("%d is %s", (ms, shown) => {
  expect(duration(ms)).toBe(shown);
});
