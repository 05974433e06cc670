/**
 * Metrics by OpenTelemetry: figures that are read when they are asked for. They leave the process where
 * OTEL_EXPORTER_OTLP_ENDPOINT is set (kit/telemetry.ts); otherwise nothing is read.
 */
import { type Attributes, metrics } from "@opentelemetry/api";

export interface Point {
  readonly value: number;
  readonly attributes: Attributes;
}

export interface Instrument {
  readonly name: string;
  /** As UCUM writes it: `s`, `By`, `1`, `{healing}`. */
  readonly unit: string;
  readonly description: string;
  /** `counter`: it only grows until the process starts again. */
  readonly kind: "gauge" | "counter";
}

/** @param read what there is now, called at every export; must not throw */
export function observe({ name, kind, ...about }: Instrument, read: () => readonly Point[]): void {
  const meter = metrics.getMeter("berth");
  const instrument =
    kind === "gauge" ? meter.createObservableGauge(name, about) : meter.createObservableCounter(name, about);
  instrument.addCallback((result) => {
    for (const { value, attributes } of read()) result.observe(value, attributes);
  });
}
