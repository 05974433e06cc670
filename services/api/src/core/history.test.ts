import { expect, test } from "vitest";
import { describeEvent } from "./describe-event.ts";
import { EVENT_WINDOW_MS, FreshEvents } from "./fresh-events.ts";

const event = { host: null, instance: null, deployId: null, actor: null, details: {} };

test.each([
  [{ kind: "job.awarded", instance: "web.1", host: "h2" }, "web.1 goes to h2"],
  [{ kind: "job.requested", instance: "web.1", host: "h2" }, "web.1 goes back to the auction, from h2"],
  [
    {
      kind: "job.failed",
      instance: "web.1",
      host: "h2",
      details: { reasonCode: "crashed", reason: "exit code 1" },
    },
    "web.1 on h2 is failed: crashed: exit code 1",
  ],
  [
    { kind: "job.unplaceable", instance: "web.2", details: { reason: "no-job-slot on every host" } },
    "no host takes web.2: no-job-slot on every host",
  ],
  [{ kind: "host.lost", host: "h1", details: { from: "suspect" } }, "h1 is lost"],
  [{ kind: "host.alarms", host: "h1", details: { unavailable: [], alarms: [] } }, "h1 has no alarm any more"],
  [
    {
      kind: "host.alarms",
      host: "h1",
      details: { unavailable: ["engine-unreachable"], alarms: [{ code: "x", detail: "y" }] },
    },
    "h1: engine-unreachable, x (y)",
  ],
  [
    { kind: "act.host.changed", actor: "eve@acme.test", details: { draining: true, labels: { disk: null } } },
    'eve@acme.test: host.changed, draining=true, labels={"disk":null}',
  ],
  [
    { kind: "act.new.thing", details: { reason: 7, alarms: "odd" } },
    "somebody: new.thing, reason=7, alarms=odd",
  ],
  [
    { kind: "evictions.frozen", details: { pods: ["main"], reason: "r" } },
    "no job is declared lost in main: r",
  ],
])("%j", (given, text) => {
  expect(describeEvent({ ...event, ...given })).toBe(text);
});

test("an event that commits late is told once, in its place of the reading that finds it", () => {
  const fresh = new FreshEvents(1000);
  const one = (id: string, atMs: number) => ({ id, atMs });
  fresh.skip([one("a", 900)]);
  expect(fresh.take([one("c", 1100), one("a", 900)])).toEqual([one("c", 1100)]);
  expect(fresh.fromMs).toBe(1100 - EVENT_WINDOW_MS);
  expect(fresh.take([one("c", 1100), one("b", 1050)])).toEqual([one("b", 1050)]);
  expect(fresh.take([one("c", 1100), one("b", 1050)])).toEqual([]);
});
