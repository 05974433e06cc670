import { ErrorCode } from "@berth/shared/contracts/errors.ts";
import { expect, it } from "vitest";
import { type BuildFailure, catalogueCode, describeFailure } from "./build-failure.ts";

const failures: readonly BuildFailure[] = [
  { code: "no-buildpack", files: ["main.c", "notes.txt"] },
  { code: "unsafe-source", detail: "x" },
  { code: "source-too-large", limit: "1024 MiB" },
  { code: "source-unavailable", detail: "x" },
  { code: "bad-procfile", problems: [{ line: 3, text: "no colon" }] },
  { code: "no-web", found: ["worker"], hasProcfile: true },
  { code: "no-web", found: [], hasProcfile: false },
  { code: "bad-dockerfile", problems: Array.from({ length: 30 }, (_, i) => ({ line: i, text: "x" })) },
  { code: "bad-buildpack", detail: "x" },
  { code: "build-exit", step: "npm ci", exitCode: 1 },
  { code: "out-of-memory", memoryBytes: 2 * 1024 ** 3 },
  { code: "timeout", timeoutMs: 900_000 },
  { code: "too-much-output", limitBytes: 4 * 1024 ** 2 },
  { code: "image-too-large", limitBytes: 1024 ** 3 },
  { code: "push-failed", detail: "x" },
  { code: "cancelled" },
  { code: "superseded", by: "abc" },
  { code: "abandoned", attempts: 2 },
  { code: "platform", detail: "x" },
];

it.each(failures)("$code has a code of the catalogue and a message of what, why, next", (failure) => {
  expect(ErrorCode.safeParse(catalogueCode(failure)).success).toBe(true);
  const message = describeFailure(failure);
  expect(message.length).toBeLessThan(2000);
  expect(message.split("\n").length).toBeGreaterThanOrEqual(2);
  expect(message).toMatch(/Nothing was deployed/);
});

it("names limits with their values", () => {
  expect(describeFailure({ code: "timeout", timeoutMs: 900_000 })).toContain("15 minutes");
  expect(describeFailure({ code: "out-of-memory", memoryBytes: 1.5 * 1024 ** 3 })).toContain("1.5 GiB");
  expect(describeFailure({ code: "bad-procfile", problems: [{ line: 3, text: "no colon" }] })).toContain(
    "Procfile:3",
  );
});
