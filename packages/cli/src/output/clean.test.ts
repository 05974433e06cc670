import fc from "fast-check";
import { expect, test } from "vitest";
import { clean, cleanJson } from "./clean.ts";

test.each([
  ["\u001b[31mred\u001b[0m", "red"],
  ["\u001b]0;title\u0007x", "\\x1b]0;title\\x07x"],
  ["\u001b]52;c;ZXZpbA==\u0007", "\\x1b]52;c;ZXZpbA==\\x07"],
  ["\u001b[2J\u001b[H", "\\x1b[2J\\x1b[H"],
  ["a\u009bb", "a\\x9bb"],
  ["if (admin\u202e) {", "if (admin\\u202e) {"],
  ["carriage\rreturn", "carriage\\x0dreturn"],
  ["windows line\r", "windows line"],
  ["tab\tstays, ünïcode stays, 日本語 too", "tab\tstays, ünïcode stays, 日本語 too"],
])("%j is shown as %j", (foreign, shown) => {
  expect(clean(foreign)).toBe(shown);
});

test("nothing that moves a cursor gets through, whatever comes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(clean(text)).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
    }),
  );
});

test("JSON is the same data, without hidden characters", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const json = cleanJson({ text });
      expect(JSON.parse(json)).toEqual({ text });
      expect(json).not.toMatch(/[\u007f-\u009f\u202a-\u202e]/);
    }),
  );
});
