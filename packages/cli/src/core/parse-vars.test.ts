import { expect, test } from "vitest";
import { parseAssignment, parseVarsFile, VarsError } from "./parse-vars.ts";

const ENV = `# comment
PLAIN=value
export EXPORTED = spaced   # comment
EMPTY=
HASH=a#b
SINGLE='literal $x \\n'   # comment
DOUBLE="line\\nnext \\"quoted\\" \\$5"
LINES="first
second"
URL=postgres://u:p@h/db?a=b
`;

test("a .env file, as shells and most tools read it", () => {
  expect(parseVarsFile("x.env", ENV)).toEqual({
    PLAIN: "value",
    EXPORTED: "spaced",
    EMPTY: "",
    HASH: "a#b",
    SINGLE: "literal $x \\n",
    DOUBLE: 'line\nnext "quoted" $5',
    LINES: "first\nsecond",
    URL: "postgres://u:p@h/db?a=b",
  });
});

test.each([
  ["a.json", '{"A": "x", "N": 3, "B": true}'],
  ["a.yaml", "A: x\nN: 3\nB: true\n"],
  ["a.YML", "A: x\nN: '3'\nB: true"],
])("%s", (name, text) => {
  expect(parseVarsFile(name, text)).toEqual({ A: "x", N: "3", B: "true" });
});

test.each([
  ["a.json", '{"A": {"nested": 1}}', "A must be"],
  ["a.json", "[1]", "one object"],
  ["a.json", "{", "not JSON"],
  ["a.yaml", "a: [", "not YAML"],
  ["a.env", "no assignment", "line 1"],
  ["a.env", "\nA='open", "line 2"],
  ["a.env", 'A="x" y', "after the closing"],
])("%s %j is refused", (name, text, why) => {
  expect(() => parseVarsFile(name, text)).toThrow(VarsError);
  expect(() => parseVarsFile(name, text)).toThrow(why);
});

test("an error never shows the value", () => {
  expect(() => parseVarsFile("a.json", '{"KEY": ["hunter2"]}')).toThrow(
    /^KEY must be a text, a number or a boolean$/,
  );
});

test("an assignment keeps everything after the first =", () => {
  expect(parseAssignment("A=b=c")).toEqual(["A", "b=c"]);
  expect(() => parseAssignment("=x")).toThrow(VarsError);
});
