import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import { HostId } from "@berth/shared/domain/ids.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { expect, test, vi } from "vitest";
import { toObserved } from "../core/job-record.ts";
import { newTestId } from "../testing/ids.ts";
import { unitRecord } from "../testing/specs.ts";
import { isUrgent, Reporter } from "./reporter.ts";

const accepted = toObserved(unitRecord({ state: "accepted" }));
const at = (sequence: number, patch: Partial<ObservedJob>): ObservedJob => ({
  ...accepted,
  sequence,
  ...patch,
});

const told = (state: ObservedJob["state"], ready = false) => ({ state, ready, reasonCode: null });

test("only the steps between accepted and ready may wait", () => {
  expect(isUrgent(at(1, { state: "accepted" }), undefined)).toBe(true);
  expect(isUrgent(at(2, { state: "preparing" }), undefined)).toBe(false);
  expect(isUrgent(at(3, { state: "starting" }), told("starting"))).toBe(false);
  expect(isUrgent(at(4, { state: "running", ready: true }), told("starting"))).toBe(true);
  expect(isUrgent(at(5, { state: "starting" }), told("running", true))).toBe(true);
  const crashed = at(6, { state: "starting", reasonCode: "crashed" });
  expect(isUrgent(crashed, told("starting"))).toBe(true);
  expect(isUrgent(at(7, { state: "failed" }), told("starting"))).toBe(true);
  expect(isUrgent(at(8, { state: "asleep" }), told("running"))).toBe(true);
  expect(isUrgent(at(9, { state: "asleep" }), told("asleep"))).toBe(false);
  expect(isUrgent(at(10, { state: "frozen" }), told("asleep"))).toBe(true);
});

test("steps that follow each other are told by the last of them, and all that matters is told", async () => {
  const told: number[] = [];
  const reporter = new Reporter({
    hostId: HostId.parse(newTestId("host")),
    clock: systemClock,
    emit: async (_event, { job }) => void told.push(job.sequence),
    acknowledged: () => {},
  });
  reporter.report(at(1, { state: "accepted" }));
  await vi.waitFor(() => expect(told).toEqual([1]), { timeout: 5000 });
  reporter.report(at(2, { state: "preparing" }));
  reporter.report(at(3, { state: "starting" }));
  reporter.report(at(4, { state: "starting", address: "10.0.0.2" }));
  reporter.report(at(5, { state: "running", ready: true }));
  await vi.waitFor(() => expect(told).toEqual([1, 5]), { timeout: 5000 });
  reporter.report(at(6, { state: "starting" }));
  await vi.waitFor(() => expect(told).toEqual([1, 5, 6]), { timeout: 5000 });
  reporter.close();
});

test("a step that nothing follows is told all the same", async () => {
  const told: number[] = [];
  const reporter = new Reporter({
    hostId: HostId.parse(newTestId("host")),
    clock: systemClock,
    emit: async (_event, { job }) => void told.push(job.sequence),
    acknowledged: () => {},
  });
  reporter.report(at(2, { state: "preparing" }));
  await vi.waitFor(() => expect(told).toEqual([2]), { timeout: 5000 });
  reporter.close();
});
