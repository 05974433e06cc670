import { expect, it } from "vitest";
import { parseRelease } from "./parse-release.ts";

it("reads the default processes and nothing else", () => {
  const text = `---\naddons:\n  - db: x\ndefault_process_types:\n  web: npm start\n  worker: "a \\"b\\""\n  clock: 'it''s'\nconfig_vars:\n  web: no\n`;
  expect(parseRelease(text)).toEqual({ web: "npm start", worker: 'a "b"', clock: "it's" });
});

it.each(["", "---\ndefault_process_types: {}\n", "web: x\n", "\u0000{{{"])(
  "answers nothing for %j",
  (text) => {
    expect(parseRelease(text)).toEqual({});
  },
);
