/** The fault test's list of crash points is the sources' list. */
import { expect, test } from "vitest";
import { crashCases, quickPoints, roadServices } from "./cases.ts";
import { findCrashPoints } from "./crash-points.ts";

const found = findCrashPoints();

test("each name stands at one place, and begins with the service that it is in", () => {
  expect(found.map(({ name }) => name)).toEqual([...new Set(found.map(({ name }) => name))]);
  for (const { name, file } of found) {
    const service = /^services\/([a-z]+)\//.exec(file)?.[1] ?? "outbox";
    expect(name.split(".")[0], file).toBe(service);
  }
});

test("each service of the road has two or more of its own", () => {
  for (const service of roadServices) {
    const own = found.filter(({ name }) => name.startsWith(`${service}.`));
    expect(own.length, service).toBeGreaterThanOrEqual(2);
  }
});

test("the fault test kills at exactly the points that the sources have", () => {
  const listed = new Set(crashCases.map(({ point }) => point));
  expect([...listed].sort()).toEqual(found.map(({ name }) => name).sort());
});

test("a point is armed in the process that has it, once", () => {
  const keys = crashCases.map(({ service, point }) => `${service} ${point}`);
  expect(new Set(keys).size).toBe(keys.length);
  for (const { service, point } of crashCases) expect([service, "outbox"]).toContain(point.split(".")[0]);
  for (const point of quickPoints) expect(crashCases.map((one) => one.point)).toContain(point);
});
