import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkDockerfile } from "./check-dockerfile.ts";

const lines = (text: string) => checkDockerfile(text).problems.map((problem) => problem.line);

describe("checkDockerfile", () => {
  it("lets ordinary files through and collects their arguments", () => {
    const text = [
      "# check=skip=all",
      "ARG NPM_CONFIG_REGISTRY SOURCE_VERSION=none",
      "FROM berth/stack:bookworm AS build",
      "RUN --mount=type=cache,target=/root/.npm --mount=type=secret,id=berth-ca npm ci",
      "RUN --network=none make",
      "FROM build",
      "RUN --mount=type=bind,from=build,source=/a,target=/b cp -r /b /c",
      'CMD ["node", "server.js"]',
    ].join("\n");
    const report = checkDockerfile(text);
    expect(report.problems).toEqual([]);
    expect([...report.args]).toEqual(["NPM_CONFIG_REGISTRY", "SOURCE_VERSION"]);
  });

  it.each([
    ["# syntax=evil/frontend\nFROM a", [1]],
    ["#syntax = evil/frontend\nFROM a", [1]],
    ["// syntax=evil/frontend\nFROM a", [1]],
    ["#!/usr/bin/env x\n# syntax=evil/frontend\nFROM a", [2]],
    ["FROM a\n\nRUN --security=insecure id", [3]],
    ["FROM a\nrun --network=host id", [2]],
    ["FROM a\nRUN --network=$NET id", [2]],
    ["FROM a\nRUN --device=x id", [2]],
    ["FROM a\nRUN \\\n  --mount=type=ssh \\\n  id", [2]],
    ["FROM a\nRUN --mount=type=cache,target=/x,from=b id", [2]],
    ["FROM a\nRUN --mount=type=bind,from=other/image,target=/x id", [2]],
    ['FROM a\nRUN --mount="type=ssh" id', [2]],
    ["FROM a\nRUN --mount=type=$T,target=/x id", [2]],
    ["FROM a\nRUN --mount=type=secret,id=other id", [2]],
    ["FROM a\nONBUILD RUN --security=insecure id", [2]],
    ["# escape=`\nFROM a\nRUN `\n --network=host id", [3]],
    ["RUN id", [0]],
    ["", [0]],
  ])("names the lines of %j", (text, expected) => {
    expect(lines(text)).toEqual(expected);
  });

  it("does not look into heredocs or arguments of commands", () => {
    expect(lines("FROM a\nRUN <<EOT\nRUN --network=host x\nEOT\nRUN echo --network=host")).toEqual([]);
    expect(lines("FROM a\nRUN <<EOT\nx\nEOT\nRUN --network=host x")).toEqual([5]);
  });

  it("answers for any text, and finds a forbidden line behind any comment", () => {
    fc.assert(fc.property(fc.string({ maxLength: 400 }), (text) => void checkDockerfile(text)));
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^#[ -~]{0,20}$/), { maxLength: 5 }), (comments) => {
        const text = ["FROM a", ...comments, "RUN --network=host id"].join("\n");
        expect(lines(text)).toContain(comments.length + 2);
      }),
    );
  });
});
