/** Quarantine: a push that brings objects has the repository's own, one that only removes refs has none. */
import { describe, expect, test } from "vitest";
import { isOwnQuarantine, parseHookRequest } from "./hook-request.ts";

const gitDir = "/state/repositories/svc.git";
const commit = "a".repeat(40);
const none = "0".repeat(40);

function request(quarantineDir: string, objectDir: string, ...lines: string[]) {
  const parsed = parseHookRequest(
    ["pre-receive", "push1", quarantineDir, objectDir, "", ...lines].join("\n"),
  );
  if (parsed === null) throw new Error("not parsed");
  return parsed;
}

describe("isOwnQuarantine", () => {
  test.each([
    ["its own", `${gitDir}/objects/incoming-1`, `${none} ${commit} refs/heads/main`, true],
    [
      "another repository's",
      "/state/repositories/other.git/objects/incoming-1",
      `${none} ${commit} refs/heads/main`,
      false,
    ],
    ["none, and a ref that moves", "", `${none} ${commit} refs/heads/main`, false],
    ["none, and only refs that go", "", `${commit} ${none} refs/heads/main`, true],
  ])("%s", (_what, dir, line, expected) => {
    expect(isOwnQuarantine(request(dir, dir, line), gitDir)).toBe(expected);
  });
});
