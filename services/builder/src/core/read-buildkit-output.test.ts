import { expect, it } from "vitest";
import { readBuildkitFailure, showBuildkitLine } from "./read-buildkit-output.ts";

it("hides lines that only repeat digests", () => {
  expect(showBuildkitLine(`#5 sha256:${"a".repeat(64)}`)).toBeNull();
  expect(showBuildkitLine("#5 [2/4] RUN npm ci")).toBe("#5 [2/4] RUN npm ci");
});

it.each([
  [
    "failed to solve with frontend dockerfile.v0: failed to build LLB: executor failed running [/bin/sh -c exit 7]: exit code: 7",
    { code: "build-exit", step: "`RUN exit 7`", exitCode: 7 },
  ],
  [
    'ERROR: failed to solve: process "/bin/sh -c npm ci" did not complete successfully: exit code: 1',
    { code: "build-exit", step: "`RUN npm ci`", exitCode: 1 },
  ],
  [
    "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: RUNN",
    { code: "bad-dockerfile", problems: [{ line: 2, text: "unknown instruction: RUNN" }] },
  ],
  [
    'failed to solve with frontend dockerfile.v0: failed to create LLB definition: failed to do request: Head "https://registry.example.com/v2/team/base/manifests/1": dial tcp: no such host',
    {
      code: "bad-dockerfile",
      problems: [{ line: 0, text: expect.stringContaining("registry.example.com/team/base:1") }],
    },
  ],
  [
    'failed to solve: failed to compute cache key: "/nothing" not found: not found',
    { code: "bad-dockerfile", problems: [{ line: 0, text: expect.stringContaining("/nothing") }] },
  ],
  ["something else", { code: "build-exit", exitCode: 1 }],
])("reads %j", (line, failure) => {
  expect(readBuildkitFailure(["#1 start", line], 1)).toMatchObject(failure);
});
