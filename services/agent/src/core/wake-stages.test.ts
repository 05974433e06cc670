import { expect, test } from "vitest";
import { unitRecord } from "../testing/specs.ts";
import * as job from "./job-record.ts";
import { awoke, fellAsleep, froze } from "./sleep-record.ts";

const stage = (name: string, startedAtMs: number, endedAtMs: number) => ({ name, startedAtMs, endedAtMs });
const first = stage("ready", 10, 20);
const asleep = unitRecord({ state: "asleep", everReady: true, attempt: 1, stages: [first] });

test("a wake's stages: its container's start, and the app's; those of the deploy stay", () => {
  const woken = job.becameReady(job.started(awoke(asleep, "b", 1000), 1, "10.0.0.3", 1200), 1500);
  expect(woken.stages).toEqual([first, stage("wake-start", 1000, 1200), stage("wake-listen", 1200, 1500)]);
  const restarted = job.becameReady(job.started(woken, 2, "10.0.0.3", 9000), 9100);
  expect(restarted.stages).toEqual(woken.stages);
});

test("the next wake takes their place, and a thawed one starts in no time", () => {
  const once = job.becameReady(job.started(awoke(asleep, "b", 1000), 1, "10.0.0.3", 1200), 1500);
  const twice = job.becameReady(awoke(froze(once), "b", 5000), 5030);
  expect(twice.stages).toEqual([first, stage("wake-start", 5000, 5000), stage("wake-listen", 5000, 5030)]);
  expect(awoke(fellAsleep(twice, false), "b", 7000).stages).toEqual([first, stage("wake-start", 7000, 7000)]);
});

test("an app that crashes while it wakes: the start that it answered after counts", () => {
  const crashed = job.started(awoke(asleep, "b", 1000), 1, "10.0.0.3", 1200);
  const again = job.becameReady(job.started(crashed, 2, "10.0.0.3", 3000), 3100);
  expect(again.stages).toEqual([first, stage("wake-start", 1000, 3000), stage("wake-listen", 3000, 3100)]);
});
