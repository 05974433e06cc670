import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { joinCommand } from "./join-command.ts";

test("a shell sees the words as they were typed", () => {
  const words = ["printf", "%s|", "a b", "it's", "$HOME", "", "*", '"', "--flag=x y"];
  const seen = execFileSync("sh", ["-c", joinCommand(words)], { encoding: "utf8" });
  expect(seen).toBe(
    words
      .slice(2)
      .map((word) => `${word}|`)
      .join(""),
  );
});

test("one word alone is a command line", () => {
  expect(joinCommand(["ls -l | wc"])).toBe("ls -l | wc");
});
