/** What builds leave on a real engine goes; what is named or young stays. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { silentLog } from "@berth/shared/kit/log.ts";
import { startTestEngine, type TestEngine } from "@berth/shared/testing/real-engine.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BuildEngine } from "./engine.ts";
import { EngineGarbage } from "./engine-garbage.ts";
import { sweepLeftovers } from "./sweep-leftovers.ts";

const HOUR_MS = 3_600_000;
let lab: TestEngine;
let engine: BuildEngine;
let garbage: EngineGarbage;

beforeAll(async () => {
  lab = await startTestEngine();
  const given = { socketPath: lab.socket, builderId: "test" };
  engine = new BuildEngine({
    ...given,
    limits: { memoryBytes: 2 ** 28, cpus: 1, pids: 64, maxAppBytes: 2 ** 28 },
  });
  garbage = new EngineGarbage(given);
}, 60_000);

afterAll(() => lab?.close(), 60_000);

async function build(tag: string, text: string): Promise<void> {
  await writeFile(join(lab.folder, "note.txt"), text);
  await writeFile(join(lab.folder, "Dockerfile"), "FROM scratch\nCOPY note.txt /\n");
  await writeFile(join(lab.folder, ".dockerignore"), "*\n!note.txt\n");
  const args = [
    "-H",
    `unix://${lab.socket}`,
    "build",
    "--label",
    "berth.builder=test",
    "-t",
    tag,
    lab.folder,
  ];
  await promisify(execFile)("/usr/bin/docker", args, {
    timeout: 60_000,
    env: { PATH: "/usr/bin:/bin", HOME: lab.folder, DOCKER_BUILDKIT: "1" },
  });
}

const layersCount = async () =>
  Number(
    (await lab.docker("system", "df", "--format", "{{.Type}}:{{.TotalCount}}"))
      .split("\n")
      .find((line) => line.startsWith("Build Cache"))
      ?.split(":")[1],
  );
const sweep = (patch: object) =>
  sweepLeftovers({
    engine,
    garbage,
    log: silentLog,
    limits: { layersKeptMs: HOUR_MS, layersBytes: 2 ** 30, pressurePercent: 100, ...patch },
    buildTimeoutMs: 1000,
    servicesBuiltSince: async () => null,
  });

test("young layers, names and containers stay; layers beyond the limits go, images that have a name stay", async () => {
  await build("local/one:bld_1", "one");
  await build("local/one:bld_1", "two");
  await lab.docker("create", "--label", "berth.builder=test", "--name", "carrier", "local/one:bld_1", "x");
  expect(await garbage.disk()).toMatchObject({ totalBytes: expect.any(Number) });
  const before = await layersCount();
  expect(before).toBeGreaterThan(0);
  await sweep({});
  expect(await layersCount()).toBe(before);
  expect(await lab.docker("ps", "-a", "--format", "{{.Names}}")).toContain("carrier");

  await sweep({ layersKeptMs: 0 });
  expect(await layersCount()).toBe(0);
  expect(await lab.docker("images", "-q", "local/one:bld_1")).not.toBe("");

  // The first image lost its name to the second; the container that carried a build is removed when it is old.
  expect(await engine.removeOldContainers(HOUR_MS)).toBe(0);
  expect(await engine.removeOldContainers(0)).toBe(1);
  const images = async () => (await lab.docker("images", "-aq")).trim().split("\n");
  await garbage.pruneNameless(HOUR_MS);
  expect(await images()).toHaveLength(2);
  const named = (await lab.docker("images", "-q", "local/one:bld_1")).trim();
  // The engine counts ages in whole seconds.
  const pruned = async () => {
    await garbage.pruneNameless(0);
    return images();
  };
  await expect.poll(pruned, { timeout: 20_000 }).toEqual([named]);
}, 60_000);
