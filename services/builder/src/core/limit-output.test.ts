import fc from "fast-check";
import { expect, it } from "vitest";
import { cleanLine, LineSplitter } from "./limit-output.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

it("puts lines together across chunks, whatever their borders", () => {
  const text = fc.array(fc.stringMatching(/^[ -~äß€]{0,20}$/), { maxLength: 8 });
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 7 }), (wanted, step) => {
      const splitter = new LineSplitter({ maxLineBytes: 1000, maxTotalBytes: 10_000 });
      const all = bytes(wanted.map((line) => `${line}\n`).join(""));
      const got: string[] = [];
      for (let at = 0; at < all.length; at += step)
        got.push(...splitter.push(all.subarray(at, at + step)).lines);
      expect([...got, ...splitter.end()]).toEqual(wanted);
    }),
  );
});

it("cuts long lines and reports too much output", () => {
  const splitter = new LineSplitter({ maxLineBytes: 5, maxTotalBytes: 20 });
  expect(splitter.push(bytes("123456789"))).toEqual({ lines: [], over: false });
  expect(splitter.push(bytes("more\nok\n"))).toEqual({ lines: ["12345 [line cut]", "ok"], over: false });
  expect(splitter.push(bytes("12345")).over).toBe(true);
});

it.each([
  ["\u001B[31mred\u001B[0m", "\u001B[31mred\u001B[0m"],
  ["a\u001B[2Jb\u001B]0;title\u0007c\u001B[1;1Hd", "abcd"],
  ["10%\r50%\r100%\r", "100%"],
  ["\u0007bell \u202Eflip", "bell flip"],
  ["tab\tstays", "tab\tstays"],
])("cleans %j", (line, clean) => {
  expect(cleanLine(line)).toBe(clean);
});
