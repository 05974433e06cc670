/** Where a wake's time went, by the visitor's clock and the log lines of the host's activator and agent. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { median } from "../kit/statistics.ts";
import { tableLines } from "../kit/table.ts";

const Opened = z.object({ event: z.literal("gate.opened"), heldAtMs: z.number(), givenAtMs: z.number() });
const Woken = z.object({
  event: z.literal("job.woken"),
  wokenAtMs: z.number(),
  engineFromMs: z.number(),
  engineToMs: z.number(),
});

/** In the order in which they follow each other; together they are the wake. */
const names = [
  "visitor → edge → activator",
  "activator → agent's word",
  "agent, before the engine",
  "engine: start or unpause",
  "engine's answer → request given",
  "given → first byte",
] as const;

/** Milliseconds, whole ones: log lines have no others. */
export type Stages = readonly number[];

export interface AskedAt {
  readonly startedAtMs: number;
  readonly firstMs: number;
}

/** @param supervisorDir of the host that was asked. @returns null when its logs do not tell of this wake */
export function stagesOf(supervisorDir: string, { startedAtMs, firstMs }: AskedAt): Stages | null {
  const opened = newest(supervisorDir, "activator", Opened);
  const woken = newest(supervisorDir, "agent", Woken);
  if (opened === null || woken === null) return null;
  const { heldAtMs, givenAtMs } = opened;
  const { wokenAtMs, engineFromMs } = woken;
  // A thawed instance may answer before the engine does.
  const engineToMs = Math.min(woken.engineToMs, startedAtMs + firstMs);
  if (heldAtMs < startedAtMs - 1 || wokenAtMs < heldAtMs - 1) return null;
  const given = Math.max(givenAtMs, engineToMs);
  const ends = [heldAtMs, wokenAtMs, engineFromMs, engineToMs, given, startedAtMs + firstMs];
  return ends.map((end, i) => end - (ends[i - 1] ?? startedAtMs));
}

export function stageLines(all: readonly Stages[]): string[] {
  const rows = names.map((name, i) => {
    const times = all.map((stages) => stages[i] ?? 0);
    return [name, median(times).toFixed(1), Math.min(...times).toFixed(1), Math.max(...times).toFixed(1)];
  });
  return tableLines(["stage of a wake, ms", "median", "least", "most"], rows);
}

function newest<T>(supervisorDir: string, name: string, schema: z.ZodType<T>): T | null {
  const path = join(supervisorDir, "logs", `${name}.log`);
  const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(-2000) : [];
  for (const line of lines.reverse()) {
    const parsed = schema.safeParse(parseJson(line));
    if (parsed.success) return parsed.data;
  }
  return null;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return null;
  }
}
