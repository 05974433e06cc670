/** How long one more container takes: one at a time, from its job's own stages. */
import { z } from "zod";
import type { NetworkApp, NetworkLab } from "../../network/network-lab.ts";
import { connectRecord } from "../kit/connect-record.ts";

const stagesOfJob = z.array(z.object({ name: z.string(), startedAtMs: z.number(), endedAtMs: z.number() }));
/** The scheduler it is asked beside is busy. */
const queryTimeoutMs = 30_000;
const measured = ["create", "start", "ready"];

export interface StartTimesGiven {
  /** Instances of the app before. */
  readonly from: number;
  readonly count: number;
  readonly say: (line: string) => void;
}

/** @returns milliseconds of create, start and ready, one per container */
export async function startTimes(
  lab: NetworkLab,
  app: NetworkApp,
  { from, count, say }: StartTimesGiven,
): Promise<number[]> {
  const db = await connectRecord(lab.pod.runDir, queryTimeoutMs);
  try {
    const times: number[] = [];
    for (let i = 1; i <= count; i += 1) {
      await app.scale(from + i);
      const { rows } = await db.query<{ stages: unknown }>(
        "select stages from scheduler.jobs where service_id = $1 and ready order by created_at desc limit 1",
        [app.id],
      );
      const stages = stagesOfJob.parse(rows[0]?.stages).filter(({ name }) => measured.includes(name));
      const ms = stages.reduce((sum, { startedAtMs, endedAtMs }) => sum + endedAtMs - startedAtMs, 0);
      times.push(Math.round(ms));
      const parts = stages.map(
        ({ name, startedAtMs, endedAtMs }) => `${name} ${Math.round(endedAtMs - startedAtMs)}`,
      );
      say(`one more beside ${from + i - 1} of its own: ${Math.round(ms)} ms (${parts.join(", ")})`);
    }
    return times;
  } finally {
    await db.end();
  }
}
