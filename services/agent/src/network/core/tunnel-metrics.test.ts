/** One point per tunnel end, in base units, and nothing where nothing is known. */
import type { TunnelReport } from "@berth/shared/contracts/network.ts";
import { expect, test } from "vitest";
import { TUNNEL_METRICS, tunnelPoints } from "./tunnel-metrics.ts";

const report = {
  ...{ environmentId: "env_1", peer: "hst_2", state: "up", handshakeAtMs: 40_000, rxBytes: 10, txBytes: 20 },
  ...{ latencyMs: 1.5, sentCount: 20, lostCount: 5, healedCount: 2 },
} as unknown as TunnelReport;
const here = { hostId: "hst_1", nowMs: 100_000 };
const valuesOf = (name: string, reports: readonly TunnelReport[]) => {
  const metric = TUNNEL_METRICS.find((one) => one.name === name);
  return metric === undefined ? null : tunnelPoints(metric, reports, here).map(({ value }) => value);
};

test("seconds, shares and bytes, each with both ends and the environment", () => {
  expect(valuesOf("berth.tunnel.handshake.age", [report])).toEqual([60]);
  expect(valuesOf("berth.tunnel.probe.latency", [report])).toEqual([0.0015]);
  expect(valuesOf("berth.tunnel.probe.loss", [report])).toEqual([0.25]);
  expect(valuesOf("berth.tunnel.io", [report])).toEqual([10, 20]);
  expect(valuesOf("berth.tunnel.healings", [report])).toEqual([2]);
  const [metric] = TUNNEL_METRICS;
  expect(metric && tunnelPoints(metric, [report], here)).toEqual([
    {
      value: 1,
      attributes: {
        "berth.host_id": "hst_1",
        "berth.peer_host_id": "hst_2",
        "berth.environment_id": "env_1",
      },
    },
  ]);
});

test("a tunnel that never spoke has no age, latency or loss, and is not up", () => {
  const silent: TunnelReport = {
    ...report,
    ...{
      environmentId: null,
      state: "stalled",
      handshakeAtMs: 0,
      latencyMs: null,
      sentCount: 0,
      lostCount: 0,
    },
  };
  for (const name of ["handshake.age", "probe.latency", "probe.loss"])
    expect(valuesOf(`berth.tunnel.${name}`, [silent])).toEqual([]);
  expect(valuesOf("berth.tunnel.up", [silent])).toEqual([0]);
});
