/**
 * JSON logs on stdout, one line per event, with a constant event name; the level says who must act:
 * debug nobody, info nobody (a wide event), warn the operator this week, error the operator now.
 */
import { trace } from "@opentelemetry/api";
import { pino } from "pino";

export interface Log {
  debug(event: string, fields?: object): void;
  info(event: string, fields?: object): void;
  warn(event: string, fields?: object): void;
  error(event: string, fields?: object): void;
  /** A log that adds `fields` to every line. */
  with(fields: object): Log;
}

export function createLog(service: string, level = "info"): Log {
  const root = pino({
    level,
    base: { service },
    messageKey: "event",
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { error: describeError },
    mixin: () => {
      const span = trace.getActiveSpan()?.spanContext();
      return span === undefined ? {} : { traceId: span.traceId };
    },
  });
  return wrap(root);
}

function wrap(logger: pino.Logger): Log {
  return {
    debug: (event, fields = {}) => logger.debug(fields, event),
    info: (event, fields = {}) => logger.info(fields, event),
    warn: (event, fields = {}) => logger.warn(fields, event),
    error: (event, fields = {}) => logger.error(fields, event),
    with: (fields) => wrap(logger.child(fields)),
  };
}

/** A log that says nothing, for unit tests. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
};

/** The chain of causes as data; stacks only of the first. */
export function describeError(error: unknown): object {
  const chain: { name: string; message: string; code?: unknown }[] = [];
  let current: unknown = error;
  while (current instanceof Error && chain.length < 6) {
    const code = (current as { code?: unknown }).code;
    chain.push({ name: current.name, message: current.message, ...(code === undefined ? {} : { code }) });
    current = current.cause;
  }
  // Described already: the log's serializer gets what a caller made of the error.
  if (chain.length === 0 && typeof error === "object" && error !== null) return error;
  if (chain.length === 0) return { message: String(error) };
  return { chain, stack: error instanceof Error ? error.stack : undefined };
}
