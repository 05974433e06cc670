/** Spans of every process on their way to the api, which keeps a deploy's trace.  all ─SpansExported─▶ api */
import { z } from "zod";
import { defineSignal } from "./event.ts";

export const Span = z.strictObject({
  traceId: z.string().length(32),
  spanId: z.string().length(16),
  parentSpanId: z.string().length(16).nullable(),
  service: z.string().max(40),
  name: z.string().max(120),
  startedAtMs: z.number(),
  endedAtMs: z.number(),
  status: z.enum(["unset", "ok", "error"]),
  attributes: z.record(z.string(), z.union([z.string().max(1000), z.number(), z.boolean()])),
});
export type Span = z.infer<typeof Span>;

export const SpansExported = defineSignal({
  name: "SpansExported",
  subject: "berth.v1.telemetry.{source}.spans",
  emittedBy: ["api", "git", "builder", "scheduler", "agent", "secrets", "router", "network", "logshipper"],
  consumedBy: ["api"],
  about: "Finished spans, batched. May be lost: the stage timeline of a deploy does not depend on them.",
  payload: z.strictObject({ source: z.string().max(64), spans: z.array(Span).max(512) }),
});
