/**
 * One durable consumer of one event, kept alive for ever: streams and consumers may be deleted under it, the server
 * may lose its store, and it declares them again.
 */

import type { ConsumerMessages, JetStreamManager, JsMsg } from "@nats-io/jetstream";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { z } from "zod";
import { BerthError } from "../contracts/errors.ts";
import type { EventContract, ServiceName } from "../contracts/event.ts";
import { subjectMatches, subjectPattern } from "../contracts/event.ts";
import type { MessageContext } from "./bus.ts";
import { ensureStream } from "./bus-streams.ts";
import { sleep } from "./clock.ts";
import { decode } from "./decode.ts";
import type { Log } from "./log.ts";
import { describeError } from "./log.ts";
import type { Closable } from "./service.ts";
import { withRemoteParent } from "./telemetry.ts";

export interface ConsumeOptions {
  /** Default `<service>-<event>`; two instances of a service share it. */
  readonly durable?: string;
  /** Messages handled at once. */
  readonly concurrency?: number;
  readonly maxDeliver?: number;
}

interface Given<P extends z.ZodType> {
  readonly connected: Promise<NatsConnection>;
  readonly event: EventContract<P>;
  readonly options: ConsumeOptions;
  readonly handler: (payload: z.infer<P>, context: MessageContext) => Promise<void>;
  readonly service: ServiceName;
  readonly log: Log;
}

const ACK_WAIT_MS = 30_000;

export function startConsumer<P extends z.ZodType>(given: Given<P>): Closable {
  const stop = new AbortController();
  const running = run(given, stop.signal);
  return {
    close: async () => {
      stop.abort();
      await running;
    },
  };
}

async function run<P extends z.ZodType>(given: Given<P>, stop: AbortSignal): Promise<void> {
  const connection = await Promise.race([given.connected, untilAborted(stop)]);
  if (connection === undefined) return;
  while (!stop.aborted) {
    try {
      await consumeUntilBroken(given, connection, stop);
    } catch (error) {
      if (stop.aborted) return;
      given.log.warn("consumer.broken", { event: given.event.name, error: describeError(error) });
    }
    await sleep(300, stop);
  }
}

function untilAborted(stop: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => stop.addEventListener("abort", () => resolve(undefined), { once: true }));
}

async function consumeUntilBroken<P extends z.ZodType>(
  given: Given<P>,
  connection: NatsConnection,
  stop: AbortSignal,
): Promise<void> {
  const manager = await jetstreamManager(connection);
  await ensureStream(manager, given.event.stream);
  const durable = given.options.durable ?? `${given.service}-${given.event.name}`;
  await ensureConsumer(manager, given, durable);
  const consumer = await jetstream(connection).consumers.get(given.event.stream, durable);
  const concurrency = given.options.concurrency ?? 16;
  const messages = await consumer.consume({
    max_messages: concurrency,
    idle_heartbeat: 5000,
    abort_on_missing_resource: true,
  });
  const abort = () => messages.stop();
  stop.addEventListener("abort", abort, { once: true });
  void stopWhenSilent(messages);
  const inFlight = new Set<Promise<void>>();
  try {
    for await (const message of messages) {
      const work = handleMessage(given, connection, message).finally(() => inFlight.delete(work));
      inFlight.add(work);
      if (inFlight.size >= concurrency) await Promise.race(inFlight);
    }
  } finally {
    stop.removeEventListener("abort", abort);
    await Promise.allSettled(inFlight);
  }
}

async function ensureConsumer<P extends z.ZodType>(
  manager: JetStreamManager,
  given: Given<P>,
  durable: string,
): Promise<void> {
  await manager.consumers.add(given.event.stream, {
    durable_name: durable,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    filter_subject: subjectPattern(given.event.subject),
    ack_wait: ACK_WAIT_MS * 1_000_000,
    max_deliver: -1,
    max_ack_pending: 256,
  });
}

/** A consumer that missed two heartbeats, or whose stream is gone, is made again. */
async function stopWhenSilent(messages: ConsumerMessages): Promise<void> {
  for await (const status of messages.status()) {
    if (status.type === "heartbeats_missed" && status.count >= 2) messages.stop();
    if (
      status.type === "consumer_deleted" ||
      status.type === "consumer_not_found" ||
      status.type === "stream_not_found"
    )
      messages.stop();
  }
}

async function handleMessage<P extends z.ZodType>(
  given: Given<P>,
  connection: NatsConnection,
  message: JsMsg,
): Promise<void> {
  const startedMs = performance.now();
  const alive = setInterval(() => message.working(), ACK_WAIT_MS / 3);
  const context: MessageContext = {
    subject: message.subject,
    traceparent: message.headers?.get("traceparent") || null,
    deliveryCount: message.info.deliveryCount,
  };
  let outcome = "done";
  try {
    const read = decode(given.event.payload, message.data);
    if (!read.ok) throw new BerthError("invalid-input", `${given.event.name}: ${read.reason}`);
    if (!subjectMatches(given.event.subject, message.subject, read.value as object)) {
      throw new BerthError("invalid-input", `${given.event.name}: the payload's ids are not the subject's`);
    }
    await withRemoteParent(context.traceparent, () => given.handler(read.value as z.infer<P>, context));
    message.ack();
  } catch (error) {
    outcome = await settleFailure(given, connection, message, error);
  } finally {
    clearInterval(alive);
  }
  given.log.debug("message.handled", {
    message: given.event.name,
    subject: message.subject,
    outcome,
    delivery: context.deliveryCount,
    durationMs: Math.round(performance.now() - startedMs),
  });
}

/** nak with a growing delay while it may pass by itself; else a dead letter, which stays visible for 30 days. */
async function settleFailure<P extends z.ZodType>(
  given: Given<P>,
  connection: NatsConnection,
  message: JsMsg,
  error: unknown,
): Promise<string> {
  const never = error instanceof BerthError && error.entry.retry === "never";
  const delivery = message.info.deliveryCount;
  if (!never && delivery < (given.options.maxDeliver ?? 12)) {
    const delayMs = Math.min(30_000, 100 * 2 ** delivery) * (0.8 + Math.random() * 0.4);
    message.nak(Math.round(delayMs));
    given.log.warn("message.retry", {
      message: given.event.name,
      delivery,
      delayMs: Math.round(delayMs),
      error: describeError(error),
    });
    return "retry";
  }
  given.log.error("message.dead", {
    message: given.event.name,
    subject: message.subject,
    delivery,
    error: describeError(error),
  });
  try {
    const letter = {
      event: given.event.name,
      subject: message.subject,
      delivery,
      reason: error instanceof Error ? error.message : String(error),
      payload: message.string(),
    };
    await jetstream(connection).publish(
      `berth.v1.dead.${given.service}.${given.event.name}`,
      JSON.stringify(letter),
    );
    message.term();
    return "dead";
  } catch {
    message.nak(30_000);
    return "retry";
  }
}
