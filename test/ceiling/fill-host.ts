/**
 * Fills one real engine with tiny containers through the agent's own code, until the agent refuses, and counts what
 * is there then: as many containers and ledger entries as accepted jobs, and nothing of a refused one.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { JobSpec } from "@berth/shared/contracts/job.ts";
import type { Refusal } from "@berth/shared/domain/placement.ts";
import { MIB } from "@berth/shared/domain/resources.ts";
import { type TestEngine, until } from "@berth/shared/testing/real-engine.ts";
import { newTestId } from "../../services/agent/src/testing/ids.ts";
import { type TestAgent, testSpec } from "../../services/agent/src/testing/real-agent.ts";

export interface Fill {
  /** Jobs are awarded in batches, as the scheduler does, until one is refused or so many were taken. */
  readonly mostJobs: number;
  readonly environmentsCount: number;
  readonly batchCount: number;
  readonly readyTimeoutMs: number;
  readonly progress?: (line: string) => void;
}

export interface Filled {
  readonly accepted: readonly JobSpec[];
  readonly refused: readonly JobSpec[];
  readonly refusals: readonly Refusal[];
  readonly wallMs: number;
}

const REPOSITORY = "org_test/svc_test";

export async function fillHost(engine: TestEngine, agent: TestAgent, fill: Fill): Promise<Filled> {
  const digest = await engine.pushImage(REPOSITORY, ["USER app", 'CMD ["sleep","86400"]']);
  const environments = Array.from({ length: fill.environmentsCount }, () => newTestId("environment"));
  const accepted: JobSpec[] = [];
  const refused: JobSpec[] = [];
  const refusals: Refusal[] = [];
  const beganMs = performance.now();
  while (refused.length === 0 && accepted.length < fill.mostJobs) {
    // What the agent's own timer does every 5 s.
    await agent.meter.measure();
    const count = Math.min(fill.batchCount, fill.mostJobs - accepted.length);
    const specs = Array.from({ length: count }, (_, at) =>
      tinyJob(digest, environments[(accepted.length + at) % environments.length] ?? ""),
    );
    const answers = await agent.award(...specs);
    const taken = specs.filter((_, at) => answers[at]?.refusal === null);
    accepted.push(...taken);
    refused.push(...specs.filter((_, at) => answers[at]?.refusal !== null));
    refusals.push(...answers.flatMap(({ refusal }) => (refusal === null ? [] : [refusal as Refusal])));
    await Promise.all(taken.map((spec) => agent.deliver(spec, {})));
    await untilAllReady(agent, accepted, fill.readyTimeoutMs);
    fill.progress?.(
      `${accepted.length} jobs run after ${((performance.now() - beganMs) / 1000).toFixed(1)} s`,
    );
  }
  return { accepted, refused, refusals, wallMs: performance.now() - beganMs };
}

function tinyJob(digest: string, environmentId: string): JobSpec {
  return testSpec(digest, REPOSITORY, {
    environmentId: environmentId as JobSpec["environmentId"],
    process: "worker" as JobSpec["process"],
    readiness: { httpPath: null, deadlineMs: 600_000, aliveMs: 0 },
    resources: { memoryBytes: 8 * MIB, cpuMillis: 10, diskBytes: 0, pidsCount: 16 },
    stopGraceMs: 0,
  });
}

async function untilAllReady(agent: TestAgent, specs: readonly JobSpec[], timeoutMs: number): Promise<void> {
  await until(
    "every accepted job is ready",
    async () => {
      const states = agent.jobs.records().map(({ ready, state }) => (ready ? "ready" : state));
      if (states.length < specs.length || states.some((state) => state !== "ready"))
        throw new Error(`seen: ${JSON.stringify(Object.groupBy(states, (state) => state))}`);
    },
    timeoutMs,
  );
}

/** All that a job leaves on a host, as job ids or counts; each must be that of the accepted jobs. */
export async function countTraces(engine: TestEngine) {
  const lines = async (...args: string[]) =>
    (await engine.docker(...args)).split("\n").filter((line) => line !== "");
  const host = join(engine.folder, "host");
  const ledger = (await readdir(join(host, "ledger"))).filter((name) => name.startsWith("job_"));
  return {
    running: (await lines("ps", "--no-trunc", "--format", '{{.Label "berth.job"}}')).sort(),
    containers: (await lines("ps", "-a", "--no-trunc", "--format", '{{.Label "berth.job"}}')).sort(),
    ledger: ledger.map((name) => name.replace(".json", "")).sort(),
    secrets: (await readdir(join(host, "secrets"))).filter((name) => name.startsWith("job_")).sort(),
    networks: await lines("network", "ls", "--filter", "label=berth.network", "--format", "{{.Name}}"),
    volumes: await lines("volume", "ls", "-q"),
  };
}
