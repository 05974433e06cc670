import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import { expect, test } from "vitest";
import { judgeLists, type ListedJob } from "./judge-lists.ts";

const [here, there] = ["hst_a", "hst_b"] as HostId[] as [HostId, HostId];
const stored = (id: string, hostId: HostId, state: ListedJob["state"] = "running"): ListedJob => ({
  ...{ id, hostId, state, epoch: 1, desired: "run", observedSequence: 3 },
  ...{ leaseExpiresAtMs: null, updatedAtMs: 0, singleWriter: false },
});
const seen = (jobId: string, sequence: number, state: ObservedJob["state"] = "running") =>
  ({ jobId: jobId as JobId, epoch: 1, sequence, state }) as ObservedJob;
const list = (hostId: HostId, ...jobs: ObservedJob[]) => ({ hostId, atMs: 60_000, jobs, unknown: [] });

test("news are taken, what is known is not, and what a list leaves out is over", () => {
  const rows = [stored("job_1", here), stored("job_2", here), stored("job_3", here)];
  const verdict = judgeLists([list(here, seen("job_1", 4), seen("job_2", 3))], rows);
  expect(verdict.taken.map(({ jobId }) => jobId)).toEqual(["job_1"]);
  expect(verdict.absent).toEqual([{ jobId: "job_3", to: "failed" }]);
  expect(verdict.odd).toEqual([]);
});

test("a list says nothing of another host's jobs, of ended ones, or of those that wait for a host", () => {
  const rows = [stored("job_1", there), stored("job_2", here, "failed"), stored("job_3", here, "requested")];
  const verdict = judgeLists([list(here, seen("job_1", 9, "failed"), seen("job_2", 9))], rows);
  expect(verdict).toMatchObject({ taken: [], absent: [], odd: [{ kind: "foreign", hostId: here }] });
});

test("an impossible step is told, not taken", () => {
  const verdict = judgeLists([list(here, seen("job_1", 4, "awarded"))], [stored("job_1", here)]);
  expect(verdict).toMatchObject({ taken: [], absent: [], odd: [{ kind: "illegal" }] });
});
