/**
 * `node test/ceiling/run.ts [--jobs N] [--ports N] [--environments N] [--alone] [--tools-dir DIR] [--json]`: containers on one real
 * engine, in environments with a bridge, a tunnel and a resolver each, until the agent refuses with the name of the limit.
 * With --alone no other host is in the environments, so they have no tunnels.
 */
import { parseArgs } from "node:util";
import { ensureWireguardGo } from "@berth/infra/install/wireguard-go.ts";
import { formatBytes, GIB } from "@berth/shared/domain/resources.ts";
import { startTestEngine } from "@berth/shared/testing/real-engine.ts";
import { newKeys, startTestAgent } from "../../services/agent/src/testing/real-agent.ts";
import { countTraces, fillHost } from "./fill-host.ts";
import { programCosts, roundCost } from "./network-cost.ts";

const { values } = parseArgs({
  options: {
    jobs: { type: "string", default: "400" },
    ports: { type: "string", default: "1000" },
    environments: { type: "string", default: "40" },
    alone: { type: "boolean", default: false },
    "tools-dir": { type: "string", default: "/var/tmp/berth-ceiling-tools" },
    json: { type: "boolean", default: false },
  },
});
const count = (text: string, most: number): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) throw new Error(`${text} is not 1 to ${most}`);
  return value;
};

const [mostJobs, ports] = [count(values.jobs, 1000), count(values.ports, 1023)];
const wireguard = await ensureWireguardGo(values["tools-dir"], (line) => console.error(line));
const engine = await startTestEngine();
try {
  const limits = { networksCount: 500, bridgePortsCount: ports };
  const agent = await startTestAgent(engine, newKeys(), {
    jobSlots: 1000,
    memoryBytes: 64 * GIB,
    limits,
    sharesEnvironments: !values.alone,
    ...(wireguard === null ? {} : { wireguardProgram: wireguard.path }),
  });
  const progress = values.json ? () => {} : (line: string) => console.log(line);
  const filled = await fillHost(engine, agent, {
    mostJobs,
    environmentsCount: count(values.environments, 1000),
    batchCount: 50,
    readyTimeoutMs: 180_000,
    progress,
  });
  const cpuBefore = process.cpuUsage();
  const measures = 20;
  for (let at = 0; at < measures; at++) await agent.meter.measure();
  const cpu = process.cpuUsage(cpuBefore);
  const traces = await countTraces(engine);
  const jobIds = filled.accepted.map(({ jobId }) => jobId as string).sort();
  const isClean = [traces.running, traces.containers, traces.ledger].every(
    (found) => JSON.stringify(found) === JSON.stringify(jobIds),
  );
  const state = agent.meter.state(agent.jobs.records());
  const result = {
    accepted: filled.accepted.length,
    refusal: filled.refusals[0] ?? null,
    wallMs: Math.round(filled.wallMs),
    measureCpuMs: (cpu.user + cpu.system) / 1000 / measures,
    networkRound: await roundCost(agent.networks),
    networkPrograms: await programCosts(`bt${process.pid}`),
    agentMemory: formatBytes(process.memoryUsage.rss()),
    containers: traces.containers.length,
    ledger: traces.ledger.length,
    noHalfMadeJob: isClean,
    ceilings: state.ceilings,
    alarms: state.alarms,
  };
  console.log(values.json ? JSON.stringify(result) : result);
  await agent.close();
  process.exitCode = isClean && filled.refusals.length > 0 ? 0 : 1;
} finally {
  await engine.close();
}
