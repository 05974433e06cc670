/**
 * A connection to NATS without the bus's checks: for measuring what the bus and its users add to it. No service uses it.
 */
import { readFileSync } from "node:fs";
import { connect, credsAuthenticator, type NatsConnection } from "@nats-io/transport-node";
import { inboxPrefix } from "../contracts/permissions.ts";
import type { BusOptions } from "./bus.ts";

export type BareConnection = NatsConnection;

/** Connects once, with the same transport security and identity as the bus of `service`. */
export function connectBare({
  service,
  url,
  credsFile,
  caFile,
}: Pick<BusOptions, "service" | "url" | "credsFile" | "caFile">): Promise<BareConnection> {
  return connect({
    servers: url,
    authenticator: credsAuthenticator(readFileSync(credsFile)),
    tls: { ca: readFileSync(caFile, "utf8") },
    inboxPrefix: inboxPrefix(service),
    noAsyncTraces: true,
  });
}
