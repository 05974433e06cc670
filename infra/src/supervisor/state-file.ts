/**
 * `state.json`: which pids the supervisor started, so that the next supervisor finds them after a kill -9.
 *
 * Written before anything else happens with a new pid, whole and by rename. Records of another boot are void.
 */
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { isAlive, readBootId } from "./proc-stat.ts";
import type { ProcessSpec } from "./process-spec.ts";

const Survivor = z.object({
  pid: z.int().positive(),
  startTicks: z.string(),
  specHash: z.string(),
  /** The specification that it runs with: needed to stop it properly when it is in the list no more. */
  spec: z.unknown(),
  startedAtMs: z.number(),
});
export type Survivor = z.infer<typeof Survivor>;

const StateFile = z.object({ bootId: z.string(), processes: z.record(z.string(), Survivor) });

export class SupervisorState {
  readonly #path: string;
  readonly #bootId = readBootId();
  readonly #processes: Map<string, Survivor>;

  constructor(runDir: string) {
    this.#path = join(runDir, "state.json");
    this.#processes = this.#read();
  }

  get(name: string): Survivor | undefined {
    return this.#processes.get(name);
  }

  names(): readonly string[] {
    return [...this.#processes.keys()];
  }

  set(name: string, survivor: Survivor): void {
    this.#processes.set(name, survivor);
    this.#write();
  }

  delete(name: string): void {
    if (this.#processes.delete(name)) this.#write();
  }

  #read(): Map<string, Survivor> {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch {
      return new Map();
    }
    // A broken file (full disk) is the same as none: pids that cannot be read cannot be adopted.
    const parsed = StateFile.safeParse(parseJsonOrNull(text));
    if (!parsed.success || parsed.data.bootId !== this.#bootId) return new Map();
    return new Map(Object.entries(parsed.data.processes));
  }

  #write(): void {
    const content = { bootId: this.#bootId, processes: Object.fromEntries(this.#processes) };
    writeFileSync(`${this.#path}.new`, JSON.stringify(content), { mode: 0o600 });
    renameSync(`${this.#path}.new`, this.#path);
  }
}

function parseJsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** True when processes of an earlier supervisor of this folder still run. */
export function hasSurvivors(runDir: string): boolean {
  const state = new SupervisorState(runDir);
  return state.names().some((name) => {
    const survivor = state.get(name);
    return survivor !== undefined && isAlive(survivor.pid, survivor.startTicks);
  });
}

/** Two specifications with equal hashes start the same process. Readiness and stop settings do not count. */
export function specHash(spec: ProcessSpec): string {
  const { command, env, cwd, user, cgroupLimits } = spec;
  const sortedEnv = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256")
    .update(JSON.stringify([command, sortedEnv, cwd, user, cgroupLimits]))
    .digest("hex");
}
