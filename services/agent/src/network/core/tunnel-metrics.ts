/** What a host tells of its tunnels as metrics: one point per tunnel end, with units. Pure. */
import type { TunnelReport } from "@berth/shared/contracts/network.ts";

interface TunnelPoint {
  readonly value: number;
  readonly attributes: Readonly<Record<string, string>>;
}

interface TunnelMetric {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  readonly kind: "gauge" | "counter";
  /** @returns value by what tells it apart, none where there is nothing to say */
  readonly of: (
    report: TunnelReport,
    nowMs: number,
  ) => readonly (readonly [number, Readonly<Record<string, string>>])[];
}

const one = (value: number) => [[value, {}] as const];

export const TUNNEL_METRICS: readonly TunnelMetric[] = [
  {
    name: "berth.tunnel.up",
    unit: "1",
    description: "1 while something came back lately, else 0",
    kind: "gauge",
    of: ({ state }) => one(state === "up" ? 1 : 0),
  },
  {
    name: "berth.tunnel.handshake.age",
    unit: "s",
    description: "time since the last handshake",
    kind: "gauge",
    of: ({ handshakeAtMs }, nowMs) =>
      handshakeAtMs === 0 ? [] : one(Math.max(0, (nowMs - handshakeAtMs) / 1000)),
  },
  {
    name: "berth.tunnel.probe.latency",
    unit: "s",
    description: "median of the last answered probes, there and back",
    kind: "gauge",
    of: ({ latencyMs }) => (latencyMs === null ? [] : one(latencyMs / 1000)),
  },
  {
    name: "berth.tunnel.probe.loss",
    unit: "1",
    description: "share of the last probes that were not answered",
    kind: "gauge",
    of: ({ sentCount, lostCount }) => (sentCount === 0 ? [] : one(lostCount / sentCount)),
  },
  {
    name: "berth.tunnel.io",
    unit: "By",
    description: "bytes since the tunnel was made, encryption's own included",
    kind: "counter",
    of: ({ rxBytes, txBytes }) => [
      [rxBytes, { "network.io.direction": "receive" }],
      [txBytes, { "network.io.direction": "transmit" }],
    ],
  },
  {
    name: "berth.tunnel.healings",
    unit: "{healing}",
    description: "how often it carried nothing back and was made anew",
    kind: "counter",
    of: ({ healedCount }) => one(healedCount),
  },
];

/** @param hostId this host; the mesh's tunnels have no environment */
export function tunnelPoints(
  metric: TunnelMetric,
  reports: readonly TunnelReport[],
  { hostId, nowMs }: { readonly hostId: string; readonly nowMs: number },
): TunnelPoint[] {
  return reports.flatMap((report) => {
    const network = report.environmentId === null ? {} : { "berth.environment_id": report.environmentId };
    const ends = { "berth.host_id": hostId, "berth.peer_host_id": report.peer, ...network };
    return metric.of(report, nowMs).map(([value, apart]) => ({ value, attributes: { ...ends, ...apart } }));
  });
}
