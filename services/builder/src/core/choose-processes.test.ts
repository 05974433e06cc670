import { describe, expect, it, test } from "vitest";
import { chooseBuildpackProcesses, chooseDockerfileProcesses, findUncommanded } from "./choose-processes.ts";

describe("buildpack apps", () => {
  it("take the Procfile, else the defaults", () => {
    expect(chooseBuildpackProcesses("web: a\nworker: b", { web: "default" })).toMatchObject({
      processes: { web: "a", worker: "b" },
    });
    expect(chooseBuildpackProcesses(null, { web: "default" })).toMatchObject({
      processes: { web: "default" },
    });
    expect(chooseBuildpackProcesses("# nothing\n", { web: "default" })).toMatchObject({
      processes: { web: "default" },
    });
  });

  it("are refused without web, also when the buildpack has a default", () => {
    expect(chooseBuildpackProcesses("worker: b", { web: "default" })).toEqual({
      kind: "refused",
      failure: { code: "no-web", found: ["worker"], hasProcfile: true },
    });
    expect(chooseBuildpackProcesses(null, {})).toMatchObject({
      failure: { code: "no-web", hasProcfile: false },
    });
  });
});

describe("Dockerfile apps", () => {
  it("run the image's own command as web", () => {
    expect(chooseDockerfileProcesses(null, true)).toMatchObject({ processes: { web: "" } });
    expect(chooseDockerfileProcesses("worker: b", true)).toMatchObject({
      processes: { web: "", worker: "b" },
    });
    expect(chooseDockerfileProcesses("web: c", false)).toMatchObject({ processes: { web: "c" } });
  });

  it("are refused when nothing says how to start", () => {
    expect(chooseDockerfileProcesses(null, false)).toMatchObject({ failure: { code: "no-web" } });
    expect(chooseDockerfileProcesses("oops", true)).toMatchObject({ failure: { code: "bad-procfile" } });
  });
});

test("a command of berth.yaml wins over the Procfile's and the buildpack's", () => {
  expect(chooseBuildpackProcesses("web: a\nworker: b\n", { web: "c" }, { web: "d" })).toEqual({
    kind: "processes",
    processes: { web: "d", worker: "b" },
  });
  expect(chooseBuildpackProcesses(null, { web: "c" }, { worker: "d" })).toEqual({
    kind: "processes",
    processes: { web: "c", worker: "d" },
  });
  expect(chooseDockerfileProcesses(null, true, { worker: "d" })).toEqual({
    kind: "processes",
    processes: { web: "", worker: "d" },
  });
});

test("a configured process without a command is named, with the nearest one that there is", () => {
  expect(findUncommanded("berth.yaml", ["web", "wroker"], { web: "a", worker: "b" })).toEqual({
    code: "bad-config",
    file: "berth.yaml",
    problems: [
      {
        line: 0,
        text: expect.stringContaining("wroker has no command here nor in a Procfile; did you mean worker?"),
      },
    ],
  });
  expect(findUncommanded("berth.yaml", ["web"], { web: "" })).toBeNull();
});
