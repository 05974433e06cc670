import { PartitionPolicy, SINGLE_WRITER_POLICY } from "@berth/shared/domain/service-policy.ts";
import { expect, test } from "vitest";
import { unitRecord, unitSpec } from "../testing/specs.ts";
import { type Leases, leaseState, renewLeases } from "./decide-leases.ts";

const STARTED = 500_000;
const record = (partition: object) =>
  unitRecord({}, unitSpec({ partition: PartitionPolicy.parse(partition) } as never));
const single = record(SINGLE_WRITER_POLICY);
const { jobId, epoch } = single.spec;
const leasedAt = (fromMs: number, of = epoch): Leases => new Map([[jobId, { epoch: of, fromMs }]]);
const none: Leases = new Map();

test.each<[string, object, Leases, number, string]>([
  ["stateless, no word for a day", {}, none, STARTED + 86_400_000, "held"],
  ["stateless with an end, the agent just started", { stopAfterMs: 20_000 }, none, STARTED + 19_999, "held"],
  ["stateless with an end, no word since", { stopAfterMs: 20_000 }, none, STARTED + 20_000, "ended"],
  ["single writer, no word ever", SINGLE_WRITER_POLICY, none, STARTED, "ended"],
  ["single writer under its lease", SINGLE_WRITER_POLICY, leasedAt(STARTED), STARTED + 27_000, "held"],
  [
    "single writer, its lease about to end",
    SINGLE_WRITER_POLICY,
    leasedAt(STARTED),
    STARTED + 27_001,
    "unsure",
  ],
  ["single writer, its lease over", SINGLE_WRITER_POLICY, leasedAt(STARTED), STARTED + 30_000, "ended"],
  ["single writer, lease of another epoch", SINGLE_WRITER_POLICY, leasedAt(STARTED, 9), STARTED, "ended"],
  ["never replaced, no word yet", { singleWriter: true, replaceAfterMs: null }, none, STARTED, "unsure"],
  [
    "never replaced, one word long ago",
    { singleWriter: true, replaceAfterMs: null },
    leasedAt(STARTED),
    STARTED + 86_400_000,
    "held",
  ],
])("%s", (_what, partition, leases, nowMs, state) => {
  expect(leaseState(record(partition), leases, STARTED, nowMs)).toBe(state);
});

test("only a set that names the job's own epoch as one to run renews its lease", () => {
  const old = leasedAt(100);
  const renew = (jobs: Parameters<typeof renewLeases>[1], fromMs = 200) =>
    renewLeases(old, jobs, fromMs, [single]).get(jobId)?.fromMs;
  expect(renew([{ jobId, epoch, action: "run" }])).toBe(200);
  expect(renew([{ jobId, epoch, action: "stop" }])).toBe(100);
  expect(renew([{ jobId, epoch: epoch + 1, action: "run" }])).toBe(100);
  expect(renew([])).toBe(100);
  expect(renew([{ jobId, epoch, action: "run" }], 50)).toBe(100);
  expect(renewLeases(old, [], 200, []).size).toBe(0);
});
