/** What a host's agent logged of a tunnel. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { LabHost } from "@berth/infra/lab/lab.ts";

export interface TunnelEvent {
  readonly event: string;
  readonly atMs: number;
}

/** @returns in the order of the log: `tunnel.stalled` and `tunnel.healed` of this tunnel since then */
export async function tunnelEvents(host: LabHost, sinceMs: number, tunnel: string): Promise<TunnelEvent[]> {
  const text = await readFile(join(host.supervisorDir, "logs", "agent.log"), "utf8");
  return text
    .split("\n")
    .filter((line) => line.includes('"tunnel.') && line.includes(tunnel))
    .map((line) => JSON.parse(line) as { event: string; time: string })
    .map(({ event, time }) => ({ event, atMs: Date.parse(time) }))
    .filter(({ atMs }) => atMs >= sinceMs);
}
