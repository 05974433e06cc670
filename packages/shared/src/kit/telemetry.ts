/**
 * OpenTelemetry: spans with W3C trace context across NATS, and metrics (kit/metrics.ts). Finished spans go to the bus (the
 * api keeps a deploy's trace) and, where OTEL_EXPORTER_OTLP_ENDPOINT is set, to any OTLP collector too, as metrics do.
 */

import type { Attributes, Context } from "@opentelemetry/api";
import { context, propagation, SpanStatusCode, trace } from "@opentelemetry/api";
import { ExportResultCode, W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { NodeSDK } from "@opentelemetry/sdk-node";
import type { ReadableSpan, SpanExporter, SpanProcessor } from "@opentelemetry/sdk-trace";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace";
import type { Span as SpanRecord } from "../contracts/telemetry.ts";

export type SpanSink = (spans: SpanRecord[]) => void;

const METRICS_MS = 15_000;

const tracer = () => trace.getTracer("berth");

/** Starts the SDK. @param sink gets finished spans in batches and must not throw or block */
export function startTelemetry(service: string, sink: SpanSink): { close(): Promise<void> } {
  const processors: SpanProcessor[] = [
    new BatchSpanProcessor({
      exporter: sinkExporter(service, sink),
      scheduledDelayMillis: 200,
      maxQueueSize: 4096,
    }),
  ];
  // The exporter reads the OTEL_EXPORTER_OTLP_* variables itself, as OpenTelemetry's specification has them.
  const isCollected = process.env.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined;
  if (isCollected) processors.push(new BatchSpanProcessor({ exporter: new OTLPTraceExporter() }));
  const sdk = new NodeSDK({
    resource: resourceFromAttributes({ "service.name": `berth-${service}` }),
    spanProcessors: processors,
    textMapPropagator: new W3CTraceContextPropagator(),
    instrumentations: [],
    autoDetectResources: false,
    metricReaders: isCollected
      ? [
          new PeriodicExportingMetricReader({
            exporter: new OTLPMetricExporter(),
            exportIntervalMillis: METRICS_MS,
          }),
        ]
      : [],
    logRecordProcessors: [],
  });
  sdk.start();
  return { close: () => sdk.shutdown() };
}

function sinkExporter(service: string, sink: SpanSink): SpanExporter {
  return {
    export(spans, done) {
      sink(spans.map((span) => toRecord(service, span)));
      done({ code: ExportResultCode.SUCCESS });
    },
    shutdown: () => Promise.resolve(),
    forceFlush: () => Promise.resolve(),
  };
}

function toRecord(service: string, span: ReadableSpan): SpanRecord {
  const ms = ([seconds, nanos]: [number, number]) => seconds * 1000 + nanos / 1e6;
  const attributes: SpanRecord["attributes"] = {};
  for (const [name, value] of Object.entries(span.attributes)) {
    if (typeof value === "number" || typeof value === "boolean") attributes[name] = value;
    else if (value !== undefined) attributes[name] = String(value).slice(0, 1000);
  }
  return {
    traceId: span.spanContext().traceId,
    spanId: span.spanContext().spanId,
    parentSpanId: span.parentSpanContext?.spanId ?? null,
    service,
    name: span.name.slice(0, 120),
    startedAtMs: ms(span.startTime),
    endedAtMs: ms(span.endTime),
    status:
      span.status.code === SpanStatusCode.ERROR
        ? "error"
        : span.status.code === SpanStatusCode.OK
          ? "ok"
          : "unset",
    attributes,
  };
}

/** Runs `work` inside a span; an error marks the span and goes on. */
export async function withSpan<T>(name: string, attributes: Attributes, work: () => Promise<T>): Promise<T> {
  return tracer().startActiveSpan(name, { attributes }, async (span) => {
    try {
      return await work();
    } catch (error) {
      span.setStatus({
        code: SpanStatusCode.ERROR,
        message: error instanceof Error ? error.message : String(error),
      });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Records a span after the fact, under `parent`: for stages whose ends were stored or observed elsewhere. */
export function recordSpan(given: {
  name: string;
  parent: string | null;
  startedAtMs: number;
  endedAtMs: number;
  attributes?: Attributes;
  failed?: boolean;
}): void {
  const span = tracer().startSpan(
    given.name,
    { startTime: given.startedAtMs, attributes: given.attributes ?? {} },
    remoteContext(given.parent),
  );
  if (given.failed) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end(given.endedAtMs);
}

/** The active span as a W3C traceparent, or null outside of one. */
export function traceparent(): string | null {
  const carrier: Record<string, string> = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent ?? null;
}

/** Runs `work` as a child of a span of another process. */
export function withRemoteParent<T>(parent: string | null | undefined, work: () => T): T {
  return context.with(remoteContext(parent), work);
}

function remoteContext(parent: string | null | undefined): Context {
  if (parent === null || parent === undefined || parent === "") return context.active();
  return propagation.extract(context.active(), { traceparent: parent });
}
