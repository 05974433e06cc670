/** What the kernel knows of kills for memory, per container: its counters and its log. */
import { constants, readFileSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseCgroup, parseKernelOom, parseOomKills } from "../core/oom-signs.ts";

const V1 = { root: "/sys/fs/cgroup/memory", file: "memory.oom_control" };
const V2 = { root: "/sys/fs/cgroup", file: "memory.events" };
const KERNEL_LOG = "/dev/kmsg";
/** One read of the kernel's log is one record, which is never longer. */
const RECORD_BYTES = 8192;
const MOST_RECORDS = 20_000;
const MOST_CONTAINERS = 2000;

/** Where the kernel counts a container's kills; a container stays in its cgroup. */
export async function oomCounterOf(pid: number): Promise<string | null> {
  const cgroup = parseCgroup(await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => ""));
  if (cgroup === null) return null;
  const { root, file } = cgroup.version === 1 ? V1 : V2;
  return join(root, cgroup.path, file);
}

/**
 * At once, because the kernel answers from its memory: by the pool of threads it would cost ten times as much, and every
 * container is looked at every few seconds.
 * @returns null when the container is gone or its counter cannot be read
 */
export function readOomKills(counter: string): number | null {
  try {
    return parseOomKills(readFileSync(counter, "utf8"));
  } catch {
    return null;
  }
}

/** The kernel's log, read on from where it was last read. Where it may not be read it says nothing. */
export class KernelOomLog {
  readonly #kills = new Map<string, number>();
  #file: FileHandle | null = null;
  #reading: Promise<void> | null = null;

  get isReadable(): boolean {
    return this.#file !== null;
  }

  killsOf(containerId: string): number {
    return this.#kills.get(containerId) ?? 0;
  }

  /** Callers at the same time share one read. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    try {
      this.#file ??= await open(KERNEL_LOG, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch {
      return;
    }
    const buffer = Buffer.alloc(RECORD_BYTES);
    for (let count = 0; count < MOST_RECORDS; count++) {
      try {
        const { bytesRead } = await this.#file.read(buffer, 0, RECORD_BYTES, null);
        this.#note(parseKernelOom(buffer.toString("utf8", 0, bytesRead)));
      } catch (error) {
        // EPIPE: records were overwritten before they were read; the next read goes on behind them.
        if ((error as NodeJS.ErrnoException).code !== "EPIPE") return;
      }
    }
  }

  #note(containerId: string | null): void {
    if (containerId === null) return;
    this.#kills.set(containerId, this.killsOf(containerId) + 1);
    const [oldest] = this.#kills.keys();
    if (this.#kills.size > MOST_CONTAINERS && oldest !== undefined) this.#kills.delete(oldest);
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }
}
