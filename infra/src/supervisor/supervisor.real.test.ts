/** The supervisor with real processes: order, restart, kill -9 and adoption, apply, stop. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connect, startDetached } from "./client.ts";
import { lockHolder } from "./lock.ts";
import { type ProcessSpecInput, writeProcesses } from "./process-spec.ts";

let runDir: string;

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), "berth-supervisor-"));
});

afterEach(async () => {
  await (await connect(runDir))?.stop();
  rmSync(runDir, { recursive: true, force: true });
});

const env = { PATH: process.env.PATH ?? "" };

function server(name: string, dependsOn: readonly string[] = []): ProcessSpecInput {
  const socket = join(runDir, `${name}.sock`);
  const program = `require("fs").rmSync("${socket}",{force:true});require("net").createServer().listen("${socket}");console.log("up")`;
  return {
    name,
    command: [process.execPath, "-e", program],
    env,
    dependsOn: [...dependsOn],
    readiness: { kind: "unix", path: socket },
  };
}

async function pidOf(name: string): Promise<number> {
  const { processes } = await (await startDetached(runDir)).status();
  const pid = processes.find((one) => one.name === name)?.pid;
  if (pid === undefined || pid === null) throw new Error(`${name} has no pid`);
  return pid;
}

test("starts in order, brings a killed process back, and stops everything", async () => {
  await writeProcesses(runDir, [server("second", ["first"]), server("first")]);
  const client = await startDetached(runDir);
  const order: string[] = [];
  await client.waitReady({ deadlineMs: 10_000, onReady: ({ name }) => order.push(name) });
  expect(order).toEqual(["first", "second"]);
  const pid = await pidOf("first");
  process.kill(pid, "SIGKILL");
  await vi.waitFor(async () =>
    expect((await client.status()).processes.find((p) => p.name === "first")?.restarts).toBe(1),
  );
  await client.waitReady({ deadlineMs: 10_000 });
  expect(await pidOf("first")).not.toBe(pid);
  const pids = [await pidOf("first"), await pidOf("second")];
  await client.stop();
  expect(pids.filter((one) => existsSync(`/proc/${one}`))).toEqual([]);
  expect(readFileSync(join(runDir, "logs", "first.log"), "utf8")).toBe("up\nup\n");
}, 30_000);

test("a killed supervisor leaves its processes, the next one adopts them and restarts one that dies", async () => {
  await writeProcesses(runDir, [server("one"), server("gone")]);
  const first = await startDetached(runDir);
  await first.waitReady({ deadlineMs: 10_000 });
  const [pid, unwanted] = [await pidOf("one"), await pidOf("gone")];
  process.kill((await first.status()).pid, "SIGKILL");
  await vi.waitFor(() => expect(lockHolder(runDir)).toBeNull());
  await writeProcesses(runDir, [server("one")]);
  const second = await startDetached(runDir);
  await second.waitReady({ deadlineMs: 10_000 });
  expect(await pidOf("one")).toBe(pid);
  await vi.waitFor(() => expect(existsSync(`/proc/${unwanted}/exe`)).toBe(false));
  process.kill(pid, "SIGKILL");
  await vi.waitFor(
    async () =>
      expect((await second.status()).processes[0]).toMatchObject({ state: "ready", adopted: false }),
    {
      timeout: 10_000,
    },
  );
}, 30_000);

test("apply starts what is new, restarts what changed, stops what is gone, keeps the rest", async () => {
  await writeProcesses(runDir, [server("kept"), server("changed"), server("gone")]);
  const client = await startDetached(runDir);
  await client.waitReady({ deadlineMs: 10_000 });
  const kept = await pidOf("kept");
  await writeProcesses(runDir, [
    server("kept"),
    { ...server("changed"), env: { ...env, X: "1" } },
    server("new"),
  ]);
  expect(await client.apply()).toEqual({ started: ["new"], restarted: ["changed"], stopped: ["gone"] });
  await client.waitReady({ deadlineMs: 10_000 });
  expect(await pidOf("kept")).toBe(kept);
}, 30_000);

test("what does not become ready is named, with its log", async () => {
  await writeProcesses(runDir, [
    { name: "broken", command: ["/bin/sh", "-c", "echo no such disk; exit 3"], env },
  ]);
  const client = await startDetached(runDir);
  await expect(client.waitReady({ deadlineMs: 700 })).rejects.toThrow(
    /broken: backing-off, exit code 3.*\n.*no such disk/,
  );
});
