/** A message's place in a trace, as its headers. */
import type { MsgHdrs } from "@nats-io/transport-node";
import { headers as natsHeaders } from "@nats-io/transport-node";
import { traceparent } from "./telemetry.ts";

export function traceHeaders(): Record<string, string> {
  const parent = traceparent();
  return parent === null ? {} : { traceparent: parent };
}

/** Most messages are of no trace: they have no headers at all. */
export function tracing(): { headers?: MsgHdrs } {
  const parent = traceparent();
  if (parent === null) return {};
  const headers = natsHeaders();
  headers.set("traceparent", parent);
  return { headers };
}
