/** What the agent asks of an engine, on a real one. */
import { startTestEngine, type TestEngine } from "@berth/shared/testing/real-engine.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine } from "./docker.ts";

let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine();
}, 60_000);
afterAll(() => engine?.close(), 60_000);

test("a network that is there stays as it is; another one with its addresses is refused", async () => {
  const docker = new Engine(engine.socket, "pod-test");
  const name = `once-${process.pid}`;
  const make = (subnet: string) =>
    docker.ensureNetwork({
      ...{ Name: name, Driver: "bridge", CheckDuplicate: true },
      IPAM: { Driver: "default", Config: [{ Subnet: subnet }] },
    });
  try {
    await make("10.250.1.0/24");
    await make("10.250.1.0/24");
    await make("10.250.2.0/24");
    const listed = await engine.docker("network", "ls", "--quiet", "--filter", `name=^${name}$`);
    expect(listed.trim().split("\n")).toHaveLength(1);
    const shown = await engine.docker(
      "network",
      "inspect",
      name,
      "--format",
      "{{(index .IPAM.Config 0).Subnet}}",
    );
    expect(shown.trim()).toBe("10.250.1.0/24");
    const other = {
      Name: `${name}-other`,
      Driver: "bridge",
      IPAM: { Config: [{ Subnet: "10.250.1.0/24" }] },
    };
    await expect(docker.ensureNetwork(other)).rejects.toThrow("overlaps");
  } finally {
    await docker.removeNetwork(name);
  }
}, 60_000);
