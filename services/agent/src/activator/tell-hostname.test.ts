import type { RouteSite } from "@berth/shared/contracts/route.ts";
import { expect, test } from "vitest";
import type { JobRecord } from "../core/job-record.ts";
import { unitRecord, unitSpec } from "../testing/specs.ts";
import { tellHostname } from "./tell-hostname.ts";

const spec = unitSpec();
const backend = { jobId: `job_${"0".repeat(25)}9`, address: "10.0.0.9", port: 8080 };
const site = (patch: object = {}): RouteSite =>
  ({
    hostname: "shop.x",
    serviceId: spec.serviceId,
    backends: [],
    sleep: { epoch: 3 },
    ...patch,
  }) as unknown as RouteSite;
const woken = (patch: Partial<JobRecord> = {}, of = spec) =>
  unitRecord({ state: "starting", address: "10.0.0.2", wokenEpoch: 3, ...patch }, of);
const own = { address: "10.0.0.2", port: 8080 };
const frozen = (patch: Partial<JobRecord> = {}) => woken({ state: "frozen", everReady: true, ...patch });
const health = unitSpec({ readiness: { httpPath: "/up", deadlineMs: 1000, aliveMs: 0 } });

test.each<[string, RouteSite | undefined, number, JobRecord[], string, object[]]>([
  ["in no table", undefined, 3, [], "unknown", []],
  ["asleep, not woken yet", site({ backends: [backend] }), 0, [woken()], "waiting", []],
  ["woken, nothing has an address", site(), 3, [woken({ address: null })], "waiting", []],
  ["woken here, started", site(), 3, [woken()], "open", [own]],
  ["woken here, with a health path that did not answer", site(), 3, [woken({}, health)], "waiting", []],
  ["woken here, ready", site(), 3, [woken({ state: "running", ready: true }, health)], "open", [own]],
  ["woken here, frozen still", site(), 3, [frozen()], "thawing", [own]],
  ["frozen, never seen ready", site(), 3, [frozen({ everReady: false })], "waiting", []],
  ["frozen, to sleep again", site(), 3, [frozen({ sleep: { epoch: 4, level: "frozen" } })], "waiting", []],
  ["frozen, its sleep not over", site(), 0, [frozen()], "waiting", []],
  ["frozen, another one answers", site(), 3, [frozen(), woken()], "open", [own]],
  [
    "woken, another host's",
    site({ backends: [backend] }),
    3,
    [],
    "open",
    [{ address: "10.0.0.9", port: 8080 }],
  ],
  [
    "woken, but this one is told to sleep",
    site(),
    3,
    [woken({ sleep: { epoch: 4, level: "stopped" } })],
    "waiting",
    [],
  ],
  [
    "awake again",
    site({ sleep: undefined, backends: [backend] }),
    0,
    [woken()],
    "open",
    [{ address: "10.0.0.9", port: 8080 }],
  ],
])("%s", (_what, of, ended, records, state, instances) => {
  const line = tellHostname("shop.x", of, (_service, epoch) => epoch <= ended, records);
  expect(line).toEqual({ hostname: "shop.x", state, instances });
});
