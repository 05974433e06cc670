/**
 * The JetStream streams. They are declared by every service at its start and may be deleted at any time:
 * PostgreSQL is the record, a stream only makes things quick.
 */
import type { StreamName } from "./event.ts";

export interface StreamContract {
  readonly name: StreamName;
  readonly subjects: readonly string[];
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  /** A full stream refuses new facts (the outbox waits) instead of dropping old ones. */
  readonly discard: "new" | "old";
  /** Window in which a repeated Nats-Msg-Id is dropped. */
  readonly duplicateWindowMs: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const MIB = 1024 ** 2;

const facts = (name: StreamName, token: string): StreamContract => ({
  name,
  subjects: [`berth.v1.${token}.>`],
  maxAgeMs: DAY_MS,
  maxBytes: 64 * MIB,
  discard: "new",
  duplicateWindowMs: 120_000,
});

export const STREAMS: readonly StreamContract[] = [
  facts("PUSH", "push"),
  facts("BUILD", "build"),
  facts("RELEASE", "release"),
  facts("JOB", "job"),
  facts("ROUTE", "route"),
  facts("DEPLOY", "deploy"),
  {
    ...facts("DEAD", "dead"),
    subjects: [
      "berth.v1.dead.>",
      "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",
      "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>",
    ],
    maxAgeMs: 30 * DAY_MS,
    discard: "old",
  },
];
