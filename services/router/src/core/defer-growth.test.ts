import type { RouteSite } from "@berth/shared/contracts/route.ts";
import type { EnvironmentId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import { expect, test } from "vitest";
import { deferGrowth } from "./defer-growth.ts";

const environmentId = "env_1" as EnvironmentId;
const site = (backends: number, more: Partial<RouteSite> = {}, first = 1): RouteSite => ({
  hostname: "shop.berth.localhost",
  serviceId: "svc_1" as ServiceId,
  backends: Array.from({ length: backends }, (_, i) => ({
    ...{ jobId: `job_${first + i}` as JobId, address: `10.128.0.${first + i}`, port: 8080 },
  })),
  ...more,
});

/** From a table that was told `ageMs` ago to the next one. */
function defer(before: readonly RouteSite[], after: readonly RouteSite[], ageMs: number) {
  const told = { environmentId, version: 1, sites: before, ageMs };
  const { now, againInMs } = deferGrowth([{ environmentId, version: 2, sites: [...after] }], [told]);
  return { told: now.length === 1, againInMs };
}
const NOW = { told: true, againInMs: null };

test("more backends of a site that has some rest in proportion to the table, a second at most", () => {
  expect(defer([site(2)], [site(3)], 30)).toEqual({ told: false, againInMs: 70 });
  expect(defer([site(2)], [site(3)], 100)).toEqual(NOW);
  expect(defer([site(2)], [site(3)], -5)).toEqual(NOW);
  expect(defer([site(60)], [site(61)], 400)).toEqual({ told: false, againInMs: 600 });
});

test.each([
  ["a site's first backend", [site(0)], [site(1)]],
  ["one that goes", [site(3)], [site(2)]],
  ["one that takes another's place", [site(3)], [site(3, {}, 2)]],
  ["a site that comes", [site(3)], [site(4), site(0, { hostname: "new.berth.localhost" })]],
  ["a site that goes", [site(3), site(1, { hostname: "old.berth.localhost" })], [site(4)]],
  [
    "another site's first backend",
    [site(3), site(0, { hostname: "b" })],
    [site(4), site(1, { hostname: "b" })],
  ],
  ["maintenance with it", [site(3)], [site(4, { maintenance: true })]],
  ["a sleep that ends with it", [site(3, { sleep: { epoch: 1 } })], [site(4)]],
] as const)("%s is told at once", (_what, before, after) => {
  expect(defer(before, after, 0)).toEqual(NOW);
});

test("an environment's first table is told at once, and another one's wait does not hold it up", () => {
  const told = { environmentId, version: 1, sites: [site(10)], ageMs: 0 };
  const other = { environmentId: "env_2" as EnvironmentId, version: 1, sites: [site(1)] };
  const { now, againInMs } = deferGrowth([{ environmentId, version: 2, sites: [site(11)] }, other], [told]);
  expect(now).toEqual([other]);
  expect(againInMs).toBe(500);
});
