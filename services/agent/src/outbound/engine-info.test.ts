import { expect, test } from "vitest";
import { containerRootUid, runtimeNames } from "./engine-info.ts";

test("runtimes are the names that a container may ask for", () => {
  const told = { "io.containerd.runc.v2": {}, runsc: { path: "runsc" }, runc: { path: "runc" } };
  expect(runtimeNames(told)).toEqual(["runc", "runsc"]);
  expect(runtimeNames(undefined)).toEqual([]);
});

test("with mapped users a container's root is the first user of the range", () => {
  expect(containerRootUid({ SecurityOptions: ["name=userns"], DockerRootDir: "/data/231072.231072" })).toBe(
    231_072,
  );
  expect(containerRootUid({ SecurityOptions: ["name=seccomp"], DockerRootDir: "/var/lib/docker" })).toBe(0);
});
