import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { raiseKernelLimits } from "./kernel-limits.ts";

let folder: string;
afterEach(() => rm(folder, { recursive: true, force: true }));

async function limits(values: Readonly<Record<string, string>>): Promise<void> {
  folder = await mkdtemp(join(tmpdir(), "berth-limits-"));
  for (const [name, value] of Object.entries(values)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), value);
  }
}
const readLimit = async (name: string) => (await readFile(join(folder, name), "utf8")).trim();

test("raises what is too low, never lowers, and passes over what is not there", async () => {
  await limits({
    "kernel/keys/maxkeys": "200\n",
    "kernel/pid_max": "4194304\n",
    "net/ipv4/neigh/default/gc_thresh3": "1024\n",
  });
  const told: string[] = [];
  await raiseKernelLimits((line) => told.push(line), folder);
  expect(await readLimit("kernel/keys/maxkeys")).toBe("20000");
  expect(await readLimit("kernel/pid_max")).toBe("4194304");
  expect(await readLimit("net/ipv4/neigh/default/gc_thresh3")).toBe("16384");
  expect(told).toEqual([]);
});

test("a limit that cannot be raised is told with its name, its value and what is wanted", async () => {
  await limits({ "fs/inotify/max_user_watches": "8192\n" });
  // Reads as 0 whatever is written into it.
  await symlink("/dev/null", join(folder, "fs/inotify/max_user_instances"));
  const told: string[] = [];
  await raiseKernelLimits((line) => told.push(line), folder);
  expect(told).toEqual([
    `kernel limit ${folder}/fs/inotify/max_user_instances stays at 0, 8192 is wanted: the kernel kept 0`,
  ]);
  expect(await readLimit("fs/inotify/max_user_watches")).toBe("524288");
});
