/** What may follow from a host's list, from an absence, and who may commit: the rules against missing knowledge. */

import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import type { JobState } from "@berth/shared/domain/job-state.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import { desiredByHost, desiredJobs, heldLater, isWhole, ReportedEpochs } from "./desired-set.ts";
import { hear } from "./hearing.ts";
import { AWARD_GRACE_MS, givenBack, judgeAbsence } from "./judge-absence.ts";
import { contend, mayCommit } from "./lead.ts";

const row = (state: JobState, desired: "run" | "stop" = "run") => ({
  state,
  desired,
  leaseExpiresAtMs: 10_000,
  updatedAtMs: 1000,
  singleWriter: false,
});

test.each([
  ["awarded, lease not over", row("awarded"), 10_000 + AWARD_GRACE_MS - 1, "wait"],
  ["awarded, list made after the lease", row("awarded"), 10_000 + AWARD_GRACE_MS, "requested"],
  ["awarded and stopped meanwhile", row("awarded", "stop"), 10_000 + AWARD_GRACE_MS, "finished"],
  ["running, list as old as the record's last word", row("running"), 1000, "wait"],
  ["running, list older than the record's last word", row("running"), 0, "wait"],
  ["running, gone for long", row("running"), 6001, "failed"],
  ["stopping, gone", row("stopping", "stop"), 4001, "finished"],
  ["lost, and the host came back without it", row("lost"), 4001, "finished"],
] as const)("a list does not name a job: %s", (_name, held, atMs, verdict) => {
  expect(judgeAbsence(held, atMs)).toBe(verdict);
});

test("a single writer is not over while its container runs where the ledger does not know it", () => {
  const single = { ...row("running"), singleWriter: true };
  expect(judgeAbsence(single, 99_000, true)).toBe("stop");
  expect(judgeAbsence({ ...single, desired: "stop" }, 99_000, true)).toBe("wait");
  expect(judgeAbsence({ ...single, desired: "stop" }, 99_000, false)).toBe("finished");
  expect(judgeAbsence(row("running"), 99_000, true)).toBe("failed");
});

test("an award given back is over when nobody wants the job any more", () => {
  expect(givenBack("run")).toBe("requested");
  expect(givenBack("stop")).toBe("finished");
});

test("a set is whole only under a fresh list of the host that the very reading knows", () => {
  const report = { atMs: 1000, jobs: [{ jobId: "job_a", epoch: 2 }] };
  const known = new Map([["job_a", 2]]);
  expect(isWhole(report, known, 2000)).toBe(true);
  expect(isWhole(undefined, known, 2000)).toBe(false);
  expect(isWhole(report, known, 7001)).toBe(false);
  expect(isWhole(report, new Map(), 2000)).toBe(false);
  expect(isWhole(report, new Map([["job_a", 1]]), 2000)).toBe(false);
  expect([...heldLater([report], new Map([["job_a", 1]]))]).toEqual(["job_a"]);
  expect([...heldLater([report], known)]).toEqual([]);
});

test("the lead goes to another one only when it is over, with a higher epoch; a deposed one commits nothing", () => {
  const held = { holder: "a", epoch: 3, expired: false };
  expect(contend(null, "b")).toBe(1);
  expect(contend(held, "a")).toBe(3);
  expect(contend(held, "b")).toBe(null);
  expect(contend({ ...held, expired: true }, "b")).toBe(4);
  expect(mayCommit(held, "a", 3)).toBe(true);
  expect(mayCommit(held, "a", 2)).toBe(false);
  expect(mayCommit({ ...held, expired: true }, "a", 3)).toBe(false);
  expect(mayCommit({ holder: "b", epoch: 4, expired: false }, "a", 3)).toBe(false);
  expect(mayCommit(null, "a", null)).toBe(false);
});

test("after a gap in all heartbeats silence counts anew", () => {
  const hearing = { sinceMs: 0, lastMs: 5000 };
  expect(hear(hearing, 11_000, 6000)).toEqual({ sinceMs: 0, lastMs: 11_000 });
  expect(hear(hearing, 11_001, 6000)).toEqual({ sinceMs: 11_001, lastMs: 11_001 });
});

test("the index of reported epochs says what going through the hosts' newest lists says", () => {
  const host = fc.integer({ min: 1, max: 4 }).map((n) => `hst_${n}` as HostId);
  const job = fc.record({
    jobId: fc.integer({ min: 1, max: 6 }).map((n) => `job_${n}`),
    epoch: fc.integer({ min: 1, max: 4 }),
  });
  const list = fc.record({ host, jobs: fc.array(job, { maxLength: 5 }) });
  fc.assert(
    fc.property(fc.array(list, { maxLength: 12 }), fc.integer({ min: 0, max: 4 }), (lists, epoch) => {
      const index = new ReportedEpochs();
      const newest = new Map<HostId, { atMs: number; jobs: { jobId: string; epoch: number }[] }>();
      for (const one of lists) {
        index.take(one.host, one.jobs);
        newest.set(one.host, { atMs: 0, jobs: one.jobs });
      }
      for (let n = 1; n <= 6; n += 1) {
        const known = new Map(Array.from({ length: 6 }, (_, at) => [`job_${at + 1}`, epoch]));
        const later = heldLater(newest.values(), known).has(`job_${n}`);
        expect(index.isHeldLater(`job_${n}`, epoch)).toBe(later);
      }
    }),
  );
});

test("desired sets of all hosts at once are those of each host by itself", () => {
  const jobs = (["awarded", "running", "finished", "requested"] as const).flatMap((state, n) =>
    ["hst_a", "hst_b", null].map((hostId) => ({
      epoch: n,
      view: {
        id: `job_${state}_${hostId}` as JobId,
        sleep: null,
        wokenEpoch: 0,
        ...{
          hostId: hostId as HostId | null,
          state,
          desired: n % 2 === 0 ? ("run" as const) : ("stop" as const),
        },
      },
    })),
  );
  const byHost = desiredByHost(jobs);
  expect(byHost.get("hst_a" as HostId)).toEqual([
    { jobId: "job_awarded_hst_a", epoch: 0, action: "run" },
    { jobId: "job_running_hst_a", epoch: 1, action: "stop" },
  ]);
  expect(desiredJobs(jobs, "hst_b" as HostId)).toEqual(byHost.get("hst_b" as HostId));
  expect(desiredJobs(jobs, "hst_c" as HostId)).toEqual([]);
});
