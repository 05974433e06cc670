/** A trace as an indented table: who did what, from when, how long, and a bar on the common time line. */
import type { Column } from "../output/table.ts";
import { duration, table } from "../output/table.ts";

export interface TraceSpan {
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly service: string;
  readonly name: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly status: string;
}

export interface TimedStage {
  readonly owner: string;
  readonly name: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

const BAR_WIDTH = 32;
const NAME_LIMIT = 60;

interface Placed {
  readonly span: TraceSpan;
  readonly depth: number;
}

/** Parents before children, children by their start. A span whose parent is missing stands at the top. */
export function orderSpans(spans: readonly TraceSpan[]): Placed[] {
  const ids = new Set(spans.map((span) => span.spanId));
  const children = new Map<string | null, TraceSpan[]>();
  for (const span of spans.toSorted((a, b) => a.startedAtMs - b.startedAtMs)) {
    const parent = span.parentSpanId !== null && ids.has(span.parentSpanId) ? span.parentSpanId : null;
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const ordered: Placed[] = [];
  const seen = new Set<string>();
  const visit = (parent: string | null, depth: number) => {
    for (const span of children.get(parent) ?? []) {
      if (seen.has(span.spanId)) continue;
      seen.add(span.spanId);
      ordered.push({ span, depth });
      visit(span.spanId, depth + 1);
    }
  };
  visit(null, 0);
  // Spans that name each other as parents hang on nothing: they stand at the top.
  for (const span of spans) {
    if (seen.has(span.spanId)) continue;
    seen.add(span.spanId);
    ordered.push({ span, depth: 0 });
    visit(span.spanId, 1);
  }
  return ordered;
}

export function renderTrace(spans: readonly TraceSpan[], clean: (text: string) => string): string[] {
  const startMs = Math.min(...spans.map((span) => span.startedAtMs));
  const endMs = Math.max(...spans.map((span) => span.endedAtMs));
  const columns: Column<Placed>[] = [
    {
      title: "SPAN",
      cell: ({ span, depth }) =>
        cut(`${"  ".repeat(depth)}${clean(span.name)}${span.status === "error" ? " (error)" : ""}`),
    },
    { title: "SERVICE", cell: ({ span }) => clean(span.service) },
    { title: "START", align: "right", cell: ({ span }) => duration(span.startedAtMs - startMs) },
    { title: "TOOK", align: "right", cell: ({ span }) => duration(span.endedAtMs - span.startedAtMs) },
    { title: "", cell: ({ span }) => bar(span, startMs, endMs) },
  ];
  return table(columns, orderSpans(spans));
}

export function renderStages(
  stages: readonly TimedStage[],
  startMs: number,
  endMs: number,
  clean: (text: string) => string,
): string[] {
  const columns: Column<TimedStage>[] = [
    { title: "STAGE", cell: (stage) => clean(stage.name) },
    { title: "BY", cell: (stage) => clean(stage.owner) },
    { title: "START", align: "right", cell: (stage) => duration(Math.max(0, stage.startedAtMs - startMs)) },
    { title: "TOOK", align: "right", cell: (stage) => duration(stage.endedAtMs - stage.startedAtMs) },
    { title: "", cell: (stage) => bar(stage, startMs, endMs) },
  ];
  return table(columns, stages);
}

/** At least one mark, so that nothing that happened is invisible. */
export function bar(
  part: { startedAtMs: number; endedAtMs: number },
  startMs: number,
  endMs: number,
): string {
  const whole = Math.max(1, endMs - startMs);
  const at = (ms: number) => Math.min(BAR_WIDTH, Math.max(0, ((ms - startMs) / whole) * BAR_WIDTH));
  const from = Math.min(BAR_WIDTH - 1, Math.floor(at(part.startedAtMs)));
  const to = Math.max(from + 1, Math.round(at(part.endedAtMs)));
  return `${"·".repeat(from)}${"█".repeat(to - from)}${"·".repeat(BAR_WIDTH - to)}`;
}

function cut(text: string): string {
  return text.length > NAME_LIMIT ? `${text.slice(0, NAME_LIMIT - 1)}…` : text;
}
