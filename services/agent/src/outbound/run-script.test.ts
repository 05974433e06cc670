/** Several programs by one shell. */
import { expect, test } from "vitest";
import { outputOf, runScript } from "./run-script.ts";

test("each has its own output, exit code and input; one that fails holds up no other", async () => {
  const lines = [
    { argv: ["echo", "it's one"] },
    { argv: ["sh", "-c", "echo gone; exit 3"] },
    { argv: ["cat"], input: "a 'quoted' $HOME\nsecond %d\n" },
    { argv: ["cat"] },
    { argv: ["printf", "no newline"] },
    { argv: ["not-a-program-of-this-machine"] },
  ];
  const ran = await runScript([], lines);
  expect(ran.map(({ exitCode }) => exitCode)).toEqual([0, 3, 0, 0, 0, 127]);
  expect(ran.map(({ out }) => out)).toEqual([
    "it's one\n",
    "gone\n",
    "a 'quoted' $HOME\nsecond %d\n",
    "",
    "no newline",
    "",
  ]);
  const [first, second] = lines;
  if (first === undefined || second === undefined || ran[0] === undefined || ran[1] === undefined)
    throw new Error();
  expect(outputOf(first, ran[0])).toBe("it's one\n");
  expect(() => outputOf(second, ran[1] as (typeof ran)[number])).toThrow(
    "sh -c echo gone; exit 3 ended with 3",
  );
});

test("a program that hangs ends the script, within its time", async () => {
  const lines = [{ argv: ["echo", "one"] }, { argv: ["sleep", "600"] }];
  await expect(runScript([], lines, { timeoutMs: 200 })).rejects.toThrow("did not end within 0.2 s");
});
