/** What the kernel says of the CPU weight of a running process. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * @param buildkitGroup where an old engine runs BuildKit; its parent is that of all the engine's containers
 * @returns in per cent of an ordinary group, of each control group that a process of this command is in; undefined
 *   while there is no such process
 */
export async function cpuWeightsOf(
  buildkitGroup: string,
  ...command: string[]
): Promise<number[] | undefined> {
  const cmdline = command.map((one) => `${one}\0`).join("");
  const two = existsSync("/sys/fs/cgroup/cgroup.controllers");
  const [root, file, ordinary] = two
    ? ["/sys/fs/cgroup", "cpu.weight", 100]
    : ["/sys/fs/cgroup/cpu", "cpu.shares", 1024];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const [is, groups] = await Promise.all(
      ["cmdline", "cgroup"].map((name) => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "")),
    );
    const group = new RegExp(two ? "^0::(.*)$" : "^\\d+:(?:.*,)?cpu(?:,.*)?:(.*)$", "m").exec(
      groups ?? "",
    )?.[1];
    // Other labs may run beside this one.
    const ours = [dirname(buildkitGroup), "/berth-build-"].some((start) => group?.startsWith(start));
    if (is !== cmdline || group === undefined || !ours) continue;
    const paths = group.split("/").map((_name, index, names) => names.slice(0, index + 1).join("/"));
    return await Promise.all(
      paths
        .slice(1)
        .map(async (path) => (100 * Number(await readFile(join(root, path, file), "utf8"))) / ordinary),
    );
  }
  return undefined;
}
