import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { CommandError, runCommand } from "./run-command.ts";

describe("runCommand", () => {
  it("gives the input to the program and returns what it printed", async () => {
    expect(await runCommand(["cat"], { input: "déjà vu\n" })).toBe("déjà vu\n");
  });

  it("passes arguments as they are", async () => {
    const words = ["a b", "$(id)", "'", '"', "*"];
    expect(await runCommand(["printf", "%s|", ...words])).toBe(`${words.join("|")}|`);
  });

  it("runs many at once, each with its own answer", async () => {
    const numbers = Array.from({ length: 20 }, (_, index) => String(index));
    const answers = await Promise.all(numbers.map((number) => runCommand(["echo", number])));
    expect(answers).toEqual(numbers.map((number) => `${number}\n`));
  });

  it("says how a program failed", async () => {
    const failed = runCommand(["sh", "-c", "echo bad luck >&2; exit 3"]);
    await expect(failed).rejects.toThrow(/sh -c .* ended with 3: bad luck/);
    await expect(failed).rejects.toMatchObject({ exitCode: 3 });
    await expect(runCommand(["/nowhere/program"])).rejects.toThrow(/\/nowhere\/program could not be run/);
  });

  it("ends a program at its deadline", async () => {
    await expect(runCommand(["sleep", "600"], { timeoutMs: 50 })).rejects.toThrow(
      "sleep did not end within 0.05 s",
    );
  });

  it("leaves out what a program prints beyond the limit", async () => {
    const text = await runCommand(["seq", "200000"], { maxOutputBytes: 1000 });
    expect(text.length).toBeGreaterThanOrEqual(1000);
    expect(text.length).toBeLessThan(1_000_000);
  });

  it("starts its helper process again when that died", async () => {
    const helper = (await runCommand(["sh", "-c", "echo $PPID"])).trim();
    const under = runCommand(["sleep", "5"]);
    const noticed = expect(under).rejects.toThrow(CommandError);
    execFileSync("kill", ["-KILL", helper]);
    await noticed;
    expect((await runCommand(["sh", "-c", "echo $PPID"])).trim()).not.toBe(helper);
  });
});
