import type { HostId } from "@berth/shared/domain/ids.ts";
import { expect, test } from "vitest";
import { CALM_AFTER_MS, JUDGE_EVERY_MS, JudgedLists } from "./judged-lists.ts";

const list = (isRepeat: boolean, host = "hst_a") => ({
  ...{ hostId: host as HostId, atMs: 0, jobs: [], unknown: [], isRepeat },
});
const calm = { newest: "10:00", isPlacing: false };
const BEAT_MS = 2000;

test("while the record is calm a repeated list is judged once a minute, and a new one always", () => {
  const lists = new JudgedLists();
  expect(lists.due([list(false)], calm, 0)).toHaveLength(1);
  let judged = 0;
  for (let nowMs = BEAT_MS; nowMs <= 10 * JUDGE_EVERY_MS; nowMs += BEAT_MS)
    judged += lists.due([list(true)], calm, nowMs).length;
  expect(judged).toBeLessThanOrEqual(10 + CALM_AFTER_MS / BEAT_MS);
  expect(judged).toBeGreaterThanOrEqual(9);
  expect(lists.due([list(false), list(true, "hst_b")], calm, 11 * JUDGE_EVERY_MS)).toHaveLength(2);
});

test.each([
  ["a job changed", { ...calm, newest: "10:01" }],
  ["a job waits for a host", { ...calm, isPlacing: true }],
])("after %s it is judged for a while", (_what, changed) => {
  const lists = new JudgedLists();
  lists.due([list(false)], calm, 0);
  const restMs = CALM_AFTER_MS + BEAT_MS;
  expect(lists.due([list(true)], calm, restMs)).toHaveLength(0);
  expect(lists.due([list(true)], changed, restMs + 1)).toHaveLength(1);
  const after = { ...changed, isPlacing: false };
  expect(lists.due([list(true)], after, restMs + CALM_AFTER_MS)).toHaveLength(1);
  expect(lists.due([list(true)], after, restMs + 2 + CALM_AFTER_MS)).toHaveLength(0);
});

test("what could not be judged is judged again", () => {
  const lists = new JudgedLists();
  lists.due([list(false)], calm, 0);
  lists.forget([list(false)]);
  expect(lists.due([list(true)], calm, 2 * CALM_AFTER_MS)).toHaveLength(1);
  expect(lists.due([list(true)], calm, 2 * CALM_AFTER_MS + BEAT_MS)).toHaveLength(0);
});
