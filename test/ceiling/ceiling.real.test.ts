/** A host that is filled up to a ceiling: it refuses with the limit's name, and no job is half made. */

import { GIB } from "@berth/shared/domain/resources.ts";
import { startTestEngine, type TestEngine } from "@berth/shared/testing/real-engine.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newKeys, startTestAgent, type TestAgent } from "../../services/agent/src/testing/real-agent.ts";
import { countTraces, fillHost } from "./fill-host.ts";

const PORTS = 40;
let engine: TestEngine;
let agent: TestAgent;

beforeAll(async () => {
  engine = await startTestEngine();
  const limits = { networksCount: 100, bridgePortsCount: PORTS };
  agent = await startTestAgent(engine, newKeys(), { jobSlots: 1000, memoryBytes: 64 * GIB, limits });
}, 60_000);

afterAll(async () => {
  await agent?.close();
  await engine?.close();
}, 60_000);

test("jobs of one environment up to the ceiling of its bridge; the next is refused by its name, and leaves nothing", async () => {
  const settings = { mostJobs: 100, environmentsCount: 1, batchCount: 15, readyTimeoutMs: 90_000 };
  const filled = await fillHost(engine, agent, settings);
  expect(filled.accepted).toHaveLength(PORTS);
  expect(new Set(filled.accepted.map(({ environmentId }) => environmentId)).size).toBe(1);
  expect(filled.refusals.map(({ code }) => code)).toEqual(filled.refused.map(() => "ceiling-bridge-ports"));
  expect(filled.refusals[0]?.detail).toBe(`bridge-ports: 0 of ${PORTS} left, a job takes 1`);

  // Full, and measured again: the bid itself names the limit now, and tells the operator.
  await agent.meter.measure();
  const state = agent.meter.state(agent.jobs.records());
  expect(state.ceilings.find(({ name }) => name === "bridge-ports")).toMatchObject({ total: PORTS, free: 0 });
  expect(state.alarms).toContainEqual({
    code: "ceiling-reached",
    detail: `bridge-ports: 0 of ${PORTS} left, a job takes 1`,
  });

  const jobIds = filled.accepted.map(({ jobId }) => jobId as string).sort();
  const traces = await countTraces(engine);
  expect(traces).toEqual({
    running: jobIds,
    containers: jobIds,
    ledger: jobIds,
    secrets: jobIds,
    networks: [`berth-${filled.accepted[0]?.environmentId}`],
    volumes: [],
  });

  // One job less: there is room for one again, and for no second.
  const [gone, ...kept] = filled.accepted;
  const jobs = kept.map(({ jobId, epoch }) => ({ jobId, epoch, action: "run" as const }));
  const stop = { jobId: gone?.jobId ?? "", epoch: 1, action: "stop" as const };
  agent.jobs.desire({ leaderEpoch: 1, revision: 1, whole: true, jobs: [...jobs, stop] });
  await expect.poll(() => agent.jobs.records().length, { timeout: 20_000 }).toBe(PORTS - 1);
  await agent.jobs.look();
  const again = await fillHost(engine, agent, { ...settings, batchCount: 2 });
  expect([again.accepted.length, again.refused.length]).toEqual([1, 1]);
}, 170_000);
