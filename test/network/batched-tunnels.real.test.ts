/** A tunnel's process is scheduled as a batch with all its threads, and as usual again. */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { ensureWireguardGo } from "@berth/infra/install/wireguard-go.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isBatch, setBatch, tunnelProcesses } from "../../services/agent/src/network/shell/tunnel-process.ts";
import { Wireguard } from "../../services/agent/src/network/shell/wireguard.ts";

const namespace = `btb${process.pid}`;
const name = `wb-b${process.pid}`;
const toolsDir = join(process.env.BERTH_TEST_CACHE ?? join(tmpdir(), "berth-test-cache"), "tools");
const run = promisify(execFile);
const tool = await ensureWireguardGo(toolsDir, () => undefined);

beforeAll(() => run("ip", ["netns", "add", namespace]));
afterAll(() => run("ip", ["netns", "delete", namespace]));

/** As sched(7) numbers them, of each thread: the 41st field of its `stat`. */
const policies = (pid: number): Set<string | undefined> =>
  new Set(
    readdirSync(`/proc/${pid}/task`).map((task) => {
      const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, "utf8");
      return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[38];
    }),
  );

test.skipIf(tool === null)("all threads of a tunnel's process", async () => {
  const wireguard = new Wireguard(tool?.path ?? "", ["ip", "netns", "exec", namespace]);
  await wireguard.make(name);
  try {
    const found = (await tunnelProcesses()).find((process) => process.name === name);
    if (found === undefined) throw new Error(`${name} has no process`);
    expect(await isBatch(found)).toBe(false);
    await setBatch(found, true);
    expect(await isBatch(found)).toBe(true);
    expect([...policies(found.pid)]).toEqual(["3"]);
    await setBatch(found, false);
    expect(await isBatch(found)).toBe(false);
    expect([...policies(found.pid)]).toEqual(["0"]);
  } finally {
    await wireguard.remove(name);
  }
});
