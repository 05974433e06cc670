import { expect, test } from "vitest";
import type { ContainerState } from "../core/next-step.ts";
import { ContainerIndex } from "./container-index.ts";

const seen = (jobId: string, state: ContainerState) => ({
  jobId,
  id: `c-${jobId}`,
  epoch: 1,
  attempt: 1,
  state,
});

function indexOf(...states: readonly (readonly [string, ContainerState])[]): ContainerIndex {
  const index = new ContainerIndex();
  index.takeList(
    index.beginList(),
    states.map(([jobId, state]) => seen(jobId, state)),
  );
  return index;
}

test("a list without those that exited says whether the others are as they are thought to be", () => {
  const index = indexOf(["a", "running"], ["b", "exited"], ["c", "paused"]);
  const list = [seen("a", "running"), seen("c", "paused")];
  expect(index.exitedCount).toBe(1);
  expect(index.matches(index.beginList(), list)).toBe(true);
  expect(index.matches(index.beginList(), [seen("a", "running")])).toBe(false);
  expect(index.matches(index.beginList(), [seen("a", "paused"), seen("c", "paused")])).toBe(false);
  expect(index.matches(index.beginList(), [...list, seen("b", "running")])).toBe(false);
  expect(index.matches(index.beginList(), [...list, seen("d", "running")])).toBe(false);
});

test("what changed after the list began is not judged by it", () => {
  const index = indexOf(["a", "running"], ["b", "exited"]);
  const began = index.beginList();
  index.setState("b", "c-b", "running");
  expect(index.matches(began, [seen("a", "running")])).toBe(true);
  expect(index.matches(index.beginList(), [seen("a", "running")])).toBe(false);
});
