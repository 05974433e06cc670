import { describe, expect, test } from "vitest";
import {
  LAST_STAYS_MS,
  MOST_STARTING_MS,
  type ProxiesFacts,
  planProxies,
  type SeenProxy,
} from "./plan-proxies.ts";

const proxy = (instance: string, more: Partial<SeenProxy> = {}): SeenProxy => ({
  ...{ instance, form: "new", phase: "serving", sinceMs: 0, isNamed: true },
  ...more,
});
const plan = (more: Partial<ProxiesFacts>) =>
  planProxies({
    ...{ nowMs: 1000, isWanted: true, isNeeded: true, unwantedSinceMs: null, hasOthers: false },
    ...{ form: "new", proxies: [], notBeforeMs: 0 },
    ...more,
  });
const leave = (instance: string) => ({ kind: "leave", instance });
const remove = (instance: string, graceful: boolean) => ({ kind: "remove", instance, graceful });

describe("planProxies", () => {
  test("one is started where one is wanted, and no second one; after failures it waits", () => {
    expect(plan({})).toEqual([{ kind: "start" }]);
    expect(plan({ notBeforeMs: 1001 })).toEqual([]);
    expect(plan({ isWanted: false })).toEqual([]);
    for (const phase of ["starting", "serving"] as const)
      expect(plan({ proxies: [proxy("a", { phase })] })).toEqual([]);
  });

  test("one that ended, or never served, is removed and another started in its place", () => {
    expect(plan({ proxies: [proxy("a", { phase: "gone" })] })).toEqual([
      remove("a", false),
      { kind: "start" },
    ]);
    const stuck = proxy("a", { phase: "starting", isNamed: false });
    expect(plan({ nowMs: MOST_STARTING_MS, proxies: [stuck] })).toEqual([
      remove("a", false),
      { kind: "start" },
    ]);
  });

  test("another form: a new one beside the old one, which leaves once edges use the new one", () => {
    const old = proxy("a", { form: "old" });
    expect(plan({ proxies: [old] })).toEqual([{ kind: "start" }]);
    expect(plan({ proxies: [old, proxy("b", { isNamed: false })] })).toEqual([]);
    expect(plan({ proxies: [{ ...old, isNamed: false }, proxy("b")] })).toEqual([leave("a")]);
  });

  test("the last one stays for a minute, so that another host has time; at once when nobody needs it", () => {
    const proxies = [proxy("a")];
    const gone = { isWanted: false, unwantedSinceMs: 0, proxies };
    expect(plan(gone)).toEqual([]);
    expect(plan({ ...gone, hasOthers: true })).toEqual([leave("a")]);
    expect(plan({ ...gone, isNeeded: false })).toEqual([leave("a")]);
    expect(plan({ ...gone, nowMs: LAST_STAYS_MS })).toEqual([leave("a")]);
  });

  test("one that leaves is ended after edges were told otherwise; a router that is away holds nothing up for ever", () => {
    const leaving = proxy("a", { phase: "leaving" });
    const isWanted = false;
    expect(plan({ isWanted, nowMs: 2000, proxies: [{ ...leaving, isNamed: false }] })).toEqual([]);
    expect(plan({ isWanted, nowMs: 3000, proxies: [{ ...leaving, isNamed: false }] })).toEqual([
      remove("a", true),
    ]);
    expect(plan({ isWanted, nowMs: 29_000, proxies: [leaving] })).toEqual([]);
    expect(plan({ isWanted, nowMs: 30_000, proxies: [leaving] })).toEqual([remove("a", true)]);
    expect(plan({ proxies: [leaving] })).toEqual([{ kind: "start" }]);
  });
});
