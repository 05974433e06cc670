import { describe, expect, it } from "vitest";
import { chooseBuildpackProcesses, chooseDockerfileProcesses } from "./choose-processes.ts";

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
