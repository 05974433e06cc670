/** What the answer to `GET /info` means. An engine may leave out or add anything: what is not understood is left out. */

const MAX_RUNTIMES = 20;
const MAX_RUNTIME_NAME = 40;

/** An engine that maps users keeps its data in a folder named after the first user and group of the range. */
export function containerRootUid(info: { SecurityOptions?: unknown; DockerRootDir?: unknown }): number {
  const options = Array.isArray(info.SecurityOptions) ? info.SecurityOptions.map(String) : [];
  if (!options.some((option) => option.includes("name=userns"))) return 0;
  return Number(/\/(\d+)\.\d+$/.exec(String(info.DockerRootDir))?.[1] ?? 0);
}

/** Without the long names of containerd's shims, which are other words for the same programs. */
export function runtimeNames(runtimes: unknown): string[] {
  if (typeof runtimes !== "object" || runtimes === null) return [];
  return Object.keys(runtimes)
    .filter((name) => !name.includes(".") && name.length <= MAX_RUNTIME_NAME)
    .sort()
    .slice(0, MAX_RUNTIMES);
}
