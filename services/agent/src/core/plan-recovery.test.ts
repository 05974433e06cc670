import { expect, test } from "vitest";
import { unitRecord, unitSpec } from "../testing/specs.ts";
import type { JobRecord } from "./job-record.ts";
import type { ContainerFacts } from "./next-step.ts";
import { planRecovery, type RecoveryFacts } from "./plan-recovery.ts";

const jobId = (number: number) => `job_${"0".repeat(24)}${String(number).padStart(2, "0")}`;
const record = (number: number, patch: Partial<JobRecord> = {}, spec: Parameters<typeof unitSpec>[0] = {}) =>
  unitRecord({ everReady: true, attempt: 1, ...patch }, unitSpec({ jobId: jobId(number), ...spec }));
const container = (number: number, state: ContainerFacts["state"], epoch = 1) => ({
  id: `c${number}`,
  jobId: jobId(number),
  epoch,
  attempt: 1,
  state,
});

const NOTHING: RecoveryFacts = {
  nowMs: 5000,
  bootId: "boot-1",
  lastBootId: "boot-1",
  records: [],
  containers: [],
  damagedFiles: [],
  tornFiles: [],
  secretsOf: new Set(),
  networks: [],
};
const plan = (facts: Partial<RecoveryFacts>) => planRecovery({ ...NOTHING, ...facts });

test.each([
  ["first-start", { lastBootId: null }],
  ["agent-restart", {}],
  ["reboot", { lastBootId: "boot-0" }],
  ["agent-restart", { lastBootId: null, records: [record(1)] }],
  ["reboot", { lastBootId: null, records: [record(1, { bootId: "boot-0" })] }],
])("cause: %s", (cause, facts) => {
  expect(plan(facts).report.cause).toBe(cause);
});

test("jobs that run on are adopted, those that ran are started again, those that are over are neither", () => {
  const records = [
    record(1),
    record(2),
    record(3, { state: "failed" }),
    record(4, { stopWanted: true }),
    record(5, { attempt: 0, everReady: false }),
    record(6, {}, { epoch: 2 }),
  ];
  const containers = [container(1, "running"), container(2, "exited"), container(6, "running", 1)];
  const { report, awaited, steps } = plan({ records, containers });
  expect(report).toMatchObject({ jobs: 6, adopted: 1, restarted: 2, readyAfterMs: null, problems: [] });
  expect(awaited).toEqual([jobId(1), jobId(2), jobId(6)]);
  expect(steps).toEqual([]);
});

test("nothing that runs is removed, whoever's it is; what cannot run any more is", () => {
  const { steps, report } = plan({
    records: [record(1), record(2)],
    containers: [
      container(1, "removing"),
      container(2, "created"),
      container(7, "running"),
      container(8, "paused"),
      container(9, "exited"),
      container(10, "created"),
    ],
    secretsOf: new Set([jobId(1), jobId(7), jobId(11)]),
    networks: [
      { name: "berth1", usersCount: 0 },
      { name: "berth2", usersCount: 1 },
    ],
    tornFiles: ["job_x.json.new"],
  });
  expect(steps).toEqual([
    { kind: "remove-container", containerId: "c1", jobId: jobId(1) },
    { kind: "remove-container", containerId: "c10", jobId: jobId(10) },
    { kind: "remove-network", name: "berth1" },
    { kind: "wipe-secrets", jobId: jobId(11) },
    { kind: "remove-file", name: "job_x.json.new" },
  ]);
  expect(report.problems).toEqual([
    expect.stringContaining(`container c7 of job ${jobId(7)} is in no ledger`),
    expect.stringContaining(`container c8 of job ${jobId(8)} is in no ledger`),
  ]);
});

test("order: volumes, what served before, first instances, web, larger", () => {
  const constraints = { ...unitSpec().constraints, volumeId: "vol1" };
  const small = { ...unitSpec().resources, memoryBytes: 1 };
  const records = [
    record(1, { everReady: false }),
    record(2, {}, { slot: 2 }),
    record(3, {}, { process: "worker" }),
    record(4, {}, { resources: small }),
    record(5),
    record(6, {}, { constraints, process: "db" }),
  ];
  const order = plan({ records }).order.map(({ spec }) => spec.jobId);
  expect(order).toEqual([6, 5, 4, 3, 2, 1].map(jobId));
});

test("problems are bounded, and the last one says that there are more", () => {
  const damagedFiles = Array.from({ length: 50 }, (_, at) => `${"x".repeat(400)}${at}.json`);
  const { problems } = plan({ damagedFiles }).report;
  expect(problems).toHaveLength(20);
  expect(problems.at(-1)).toBe("and 31 more: see the agent's log");
  expect(problems.every(({ length }) => length <= 300)).toBe(true);
});

test("a job without secrets waits for the control plane, and that is said", () => {
  const { problems } = plan({ records: [record(1, { envelope: null })] }).report;
  expect(problems).toEqual([`job ${jobId(1)} has no secrets yet and waits for the control plane`]);
});
