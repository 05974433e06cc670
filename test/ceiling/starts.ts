/**
 * `node test/ceiling/starts.ts [--jobs N] [--rounds N]`: how many starts at once one real engine is good for. The same jobs
 * are brought up with 1, 2, 4 and 8 at once, and with as many as the agent finds out, in turns.
 */
import { parseArgs } from "node:util";
import { GIB } from "@berth/shared/domain/resources.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { startTestEngine } from "@berth/shared/testing/real-engine.ts";
import { StartGate } from "../../services/agent/src/jobs/start-gate.ts";
import { newKeys, startTestAgent, type TestAgent } from "../../services/agent/src/testing/real-agent.ts";
import { median } from "../bench/kit/statistics.ts";
import { tableLines } from "../bench/kit/table.ts";
import { fillHost } from "./fill-host.ts";

const { values } = parseArgs({
  options: { jobs: { type: "string", default: "40" }, rounds: { type: "string", default: "3" } },
});
const [mostJobs, rounds] = [Number(values.jobs), Number(values.rounds)];
if (![mostJobs, rounds].every((count) => Number.isInteger(count) && count > 0 && count <= 200))
  throw new Error("--jobs and --rounds are whole numbers from 1 to 200");

type Gate = Pick<StartGate, "run">;
function fixed(count: number): Gate {
  const waiting: (() => void)[] = [];
  let free = count;
  return {
    run: async (_kind, _place, work) => {
      if (free > 0) free -= 1;
      else await new Promise<void>((enter) => waiting.push(enter));
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
  };
}

const adaptive = new StartGate(systemClock, 8);
const gates = new Map<string, Gate>([1, 2, 4, 8].map((count) => [`${count} at once`, fixed(count)]));
gates.set("adaptive, at most 8", adaptive);

let gate: Gate = adaptive;
let revision = 0;
const engine = await startTestEngine();
try {
  const agent = await startTestAgent(engine, newKeys(), {
    ...{ jobSlots: 1000, memoryBytes: 64 * GIB, limits: { networksCount: 500, bridgePortsCount: 1000 } },
    starts: { run: (kind, place, work) => gate.run(kind, place, work) },
  });
  const fill = { mostJobs, environmentsCount: 1, batchCount: mostJobs, readyTimeoutMs: 180_000 };
  // The first pass pulls the image and makes the network.
  await fillHost(engine, agent, { ...fill, mostJobs: 1, batchCount: 1 });
  await stopAll(agent);
  const tookMs = new Map([...gates.keys()].map((name) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round++)
    for (const [name, one] of gates) {
      gate = one;
      const { wallMs } = await fillHost(engine, agent, fill);
      tookMs.get(name)?.push(wallMs);
      await stopAll(agent);
    }
  const rows = [...tookMs].map(([name, ms]) => [
    name,
    `${Math.round(median(ms))}`,
    ms.map(Math.round).join(" "),
  ]);
  for (const line of tableLines(["starts", "median ms", "each"], rows)) console.log(line);
  console.log(`adaptive limit at the end: ${adaptive.limit}`);
  await agent.close();
} finally {
  await engine.close();
}

async function stopAll(agent: TestAgent): Promise<void> {
  revision += 1;
  const jobs = agent.jobs
    .records()
    .map(({ spec }) => ({ jobId: spec.jobId, epoch: spec.epoch, action: "stop" as const }));
  agent.jobs.desire({ leaderEpoch: 1, revision, whole: true, jobs });
  while (agent.jobs.records().length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
}
