import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseProcfile } from "./parse-procfile.ts";

describe("parseProcfile", () => {
  it("reads names and commands, comments and empty lines aside", () => {
    const text = "\uFEFF# how it runs\r\nweb: node server.js --port $PORT\r\n\nworker:  sh -c 'a; b'\n";
    expect(parseProcfile(text)).toEqual({
      kind: "processes",
      processes: { web: "node server.js --port $PORT", worker: "sh -c 'a; b'" },
    });
  });

  it.each([
    ["web node", 1, /no colon/],
    ["\nWeb: x", 2, /not a process name/],
    ["web:", 1, /no command/],
    ["web: x\nweb: y", 2, /second time/],
    ["web: a\u0000b", 1, /control characters/],
    [`web: ${"x".repeat(5000)}`, 1, /longer than 4096/],
    ["--web: x", 1, /not a process name/],
  ])("names the line of %j", (text, line, message) => {
    const parsed = parseProcfile(text);
    expect(parsed).toMatchObject({
      kind: "problems",
      problems: [{ line, text: expect.stringMatching(message) }],
    });
  });

  it("never changes a command, whatever shell text it is", () => {
    const command = fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/);
    fc.assert(
      fc.property(command, (text) => {
        expect(parseProcfile(`web: ${text}`)).toEqual({ kind: "processes", processes: { web: text } });
      }),
    );
  });

  it("answers for any text", () => {
    fc.assert(fc.property(fc.string(), (text) => void parseProcfile(text)));
  });
});
