import { PassageEndReason } from "@berth/shared/contracts/passage.ts";
import { expect, test } from "vitest";
import { byteWords, END_WORDS, parseTunnelTarget } from "./tunnel-words.ts";

test.each([
  ["shop", { service: "shop", port: null }],
  ["db:5432", { service: "db", port: 5432 }],
  ["db:", null],
  ["db:0", null],
  ["db:70000", null],
  ["a:b:1", null],
  [":80", null],
])("%s", (text, target) => {
  expect(parseTunnelTarget(text)).toEqual(target);
});

test("every end has its words", () => {
  for (const why of PassageEndReason.options) expect(END_WORDS[why].length).toBeGreaterThan(4);
});

test("bytes are told in one unit", () => {
  expect([999, 12_345, 4_000_000].map(byteWords)).toEqual(["999 B", "12.3 kB", "4.0 MB"]);
});
