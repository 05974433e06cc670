import type { CertificateId, EnvironmentId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import { describe, expect, test } from "vitest";
import type { CertificateRow } from "./choose-certificate.ts";
import { planOrders, renewAtMs, retryAfterMs } from "./plan-orders.ts";

const domain = (name: string) => ({
  ...{ name, environmentId: "env_a" as EnvironmentId, serviceId: "svc_a" as ServiceId },
  orgId: "org_a" as OrgId,
});
const certificate = (id: string, name: string): CertificateRow => ({
  ...domain(name),
  ...{ id: id as CertificateId, isOrdered: false, names: [name], notBeforeMs: 0, notAfterMs: 90_000 },
});
const plan = (more: Partial<Parameters<typeof planOrders>[0]>) =>
  planOrders({
    ...{ domains: [domain("a.example")], certificates: [], orders: [] },
    ...{ nowMs: 1000, atOnce: 5, lastHour: new Map(), mostPerOrgPerHour: 3 },
    ...more,
  }).map(({ name }) => name);

describe("planOrders", () => {
  const own = certificate("crt_1", "a.example");
  const ordered = { ...own, isOrdered: true };
  const order = (nextTryAtMs: number, claimedUntilMs = 0) => ({
    name: "a.example",
    nextTryAtMs,
    claimedUntilMs,
  });

  test.each<[string, Parameters<typeof plan>[0], string[]]>([
    ["a new domain", {}, ["a.example"]],
    ["a wildcard never", { domains: [domain("*.example")] }, []],
    ["one with its customer's certificate not", { certificates: [own] }, []],
    ["one whose customer's certificate ended", { certificates: [own], nowMs: 90_000 }, ["a.example"]],
    ["a fresh one not", { certificates: [ordered] }, []],
    ["one after two thirds of its life", { certificates: [ordered], nowMs: 60_000 }, ["a.example"]],
    ["one that failed, later", { orders: [order(1001)] }, []],
    ["one that failed, then", { orders: [order(1000)] }, ["a.example"]],
    ["one that is being ordered not", { orders: [order(0, 1001)] }, []],
  ])("%s", (_what, more, names) => {
    expect(plan(more)).toEqual(names);
  });

  test("an org begins so many within an hour, and no other org waits for it", () => {
    const many = ["a", "b", "c", "d"].map((label) => domain(`${label}.example`));
    const other = { ...domain("z.example"), orgId: "org_b" as OrgId };
    const domains = [...many, other];
    expect(plan({ domains })).toEqual(["a.example", "b.example", "c.example", "z.example"]);
    const lastHour = new Map([["org_a" as OrgId, 2]]);
    expect(plan({ domains, lastHour })).toEqual(["a.example", "z.example"]);
    expect(plan({ domains, lastHour: new Map([["org_a" as OrgId, 3]]), atOnce: 1 })).toEqual(["z.example"]);
  });

  test("few at once", () => {
    const domains = ["a", "b", "c"].map((label) => domain(`${label}.example`));
    expect(plan({ domains, atOnce: 2 })).toHaveLength(2);
    expect(plan({ domains, atOnce: 2, orders: [order(0, 9999)] })).toHaveLength(1);
  });
});

test("renewals are spread, and never after two thirds of a life", () => {
  const times = Array.from({ length: 50 }, (_, n) => renewAtMs(certificate("crt", "x"), `n${n}.example`));
  expect(new Set(times).size).toBe(50);
  expect(Math.min(...times)).toBeGreaterThanOrEqual(90_000 * (2 / 3 - 1 / 20));
  expect(Math.max(...times)).toBeLessThanOrEqual(60_000);
});

test("a failure is tried again after a minute, then ever later, at most a day and a quarter", () => {
  expect([1, 2, 3].map((failures) => retryAfterMs(failures, 0))).toEqual([60_000, 120_000, 240_000]);
  expect(retryAfterMs(1000, 0.999)).toBeLessThan(1.25 * 24 * 3600 * 1000);
});
