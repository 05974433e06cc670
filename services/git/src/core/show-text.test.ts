import fc from "fast-check";
import { expect, test } from "vitest";
import { cleanLine, showName } from "./show-text.ts";

test("colours stay and end with the line, other escapes go", () => {
  expect(cleanLine("\u001b[32mok\u001b[0m")).toBe("\u001b[32mok\u001b[0m\u001b[0m");
  expect(cleanLine("a\u001b]0;title\u0007b\u001b[2Jc\u0008d")).toBe("abcd");
  expect(cleanLine("one\r\ntwo")).toBe("one two");
});

test("nothing but colours is left of any text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const left = cleanLine(text).replace(/\u001b\[[0-9;]{0,16}m/g, "");
      expect(left).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/);
      expect(showName(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    }),
  );
});
