/** What is observed arrives at a collector, with name, unit and attributes, by OTLP over HTTP. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { observe } from "./metrics.ts";
import { startTelemetry } from "./telemetry.ts";

const { env } = process;
afterEach(() => {
  delete env.OTEL_EXPORTER_OTLP_ENDPOINT;
});

test("a gauge is exported with its unit when the process ends, whatever the period", async () => {
  const got: { path: string | undefined; body: string }[] = [];
  const collector = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString("utf8");
    });
    request.on("end", () => {
      got.push({ path: request.url, body });
      response.end("{}");
    });
  });
  collector.listen(0, "127.0.0.1");
  await once(collector, "listening");
  env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  const telemetry = startTelemetry("agent", () => undefined);
  const about = { name: "berth.test.age", unit: "s", description: "an age", kind: "gauge" } as const;
  observe(about, () => [{ value: 12.5, attributes: { "berth.host_id": "hst_1" } }]);
  await telemetry.close();
  collector.close();
  const told = got.find(({ path }) => path === "/v1/metrics");
  const { resourceMetrics } = JSON.parse(told?.body ?? "{}");
  const [metric] = resourceMetrics[0].scopeMetrics[0].metrics;
  expect(metric).toMatchObject({ name: "berth.test.age", unit: "s" });
  expect(metric.gauge.dataPoints[0]).toMatchObject({
    asDouble: 12.5,
    attributes: [{ key: "berth.host_id", value: { stringValue: "hst_1" } }],
  });
});
