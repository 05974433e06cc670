/**
 * The bus: events, signals and requests over NATS, validated at both ends.
 *
 * What must stay true:
 * - A core publish while disconnected is lost, so nothing that matters is a signal; facts go through the outbox.
 * - A handler's error decides what happens to the message: `later` → nak with delay, `never` → dead letter, visible.
 * - Nobody speaks for another: a subject's tokens must equal the payload's fields.
 */
import { readFileSync } from "node:fs";
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection, Subscription } from "@nats-io/transport-node";
import { connect, credsAuthenticator, headers as natsHeaders } from "@nats-io/transport-node";
import type { z } from "zod";
import { BerthError } from "../contracts/errors.ts";
import type { EventContract, RequestContract, ServiceName, SignalContract } from "../contracts/event.ts";
import { fillSubject, subjectMatches, subjectPattern } from "../contracts/event.ts";
import { inboxPrefix, streamsOf } from "../contracts/permissions.ts";
import { SpansExported } from "../contracts/telemetry.ts";
import type { ConsumeOptions } from "./bus-consumer.ts";
import { startConsumer } from "./bus-consumer.ts";
import { ensureStreams } from "./bus-streams.ts";
import { traceHeaders, tracing } from "./bus-trace.ts";
import { decode } from "./decode.ts";
import type { Log } from "./log.ts";
import { describeError } from "./log.ts";
import type { Closable } from "./service.ts";
import { startTelemetry, withRemoteParent } from "./telemetry.ts";

export interface BusOptions {
  readonly service: ServiceName;
  /** Host processes only: confines inbox and subjects. */
  readonly hostId?: string;
  readonly url: string;
  readonly credsFile: string;
  readonly caFile: string;
  readonly log: Log;
}

export interface MessageContext {
  readonly subject: string;
  readonly traceparent: string | null;
  /** 1 for the first delivery; signals and requests are always 1. */
  readonly deliveryCount: number;
}

type Tokens = Readonly<Record<string, string>>;

export interface Bus extends Closable {
  readonly connected: boolean;
  /** Resolves once the first connection stands. */
  readonly ready: Promise<void>;
  /** Publishes a fact with an acknowledgement. Control-plane services use the outbox instead. */
  emit<P extends z.ZodType>(event: EventContract<P>, payload: z.infer<P>): Promise<void>;
  /** Publishes what may be lost. Dropped while disconnected. */
  signal<P extends z.ZodType>(signal: SignalContract<P>, payload: z.infer<P>): void;
  on<P extends z.ZodType>(
    signal: SignalContract<P>,
    tokens: Tokens,
    handler: (payload: z.infer<P>, context: MessageContext) => void | Promise<void>,
  ): Closable;
  /** @throws BerthError `unavailable` when nobody answers in time or the bus is away */
  request<P extends z.ZodType, R extends z.ZodType>(
    request: RequestContract<P, R>,
    payload: z.infer<P>,
    options?: { timeoutMs?: number },
  ): Promise<z.infer<R>>;
  /** The same, with JSON whose parts were validated when they were stored. Who serves it validates it as any other. */
  requestStored<P extends z.ZodType, R extends z.ZodType>(
    request: RequestContract<P, R>,
    tokens: Tokens,
    data: string,
    options?: { timeoutMs?: number },
  ): Promise<z.infer<R>>;
  serve<P extends z.ZodType, R extends z.ZodType>(
    request: RequestContract<P, R>,
    tokens: Tokens,
    handler: (payload: z.infer<P>, context: MessageContext) => Promise<z.infer<R>>,
  ): Closable;
  consume<P extends z.ZodType>(
    event: EventContract<P>,
    options: ConsumeOptions,
    handler: (payload: z.infer<P>, context: MessageContext) => Promise<void>,
  ): Closable;
  /** For the outbox relay: bytes that were validated when they were stored. */
  publishStored(
    subject: string,
    data: string,
    dedupeId: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<void>;
}

/** Connects in the background and for ever; returns at once, so a service can start while NATS is away. */
export function connectBus(options: BusOptions): Bus {
  return new NatsBus(options);
}

class NatsBus implements Bus {
  readonly ready: Promise<void>;
  readonly #options: BusOptions;
  readonly #closables: Closable[] = [];
  readonly #telemetry: Closable;
  #connection: NatsConnection | undefined;
  #up = false;
  #closing = false;
  #repairing = false;
  readonly #connected: Promise<NatsConnection>;

  constructor(options: BusOptions) {
    this.#options = options;
    this.#connected = this.#connect();
    this.ready = this.#connected.then(() => undefined);
    const source = options.hostId ?? options.service;
    this.#telemetry = startTelemetry(options.service, (spans) => {
      for (let i = 0; i < spans.length; i += 256)
        this.signal(SpansExported, { source, spans: spans.slice(i, i + 256) });
    });
  }

  get connected(): boolean {
    return this.#up;
  }

  async #connect(): Promise<NatsConnection> {
    const { service, hostId, url, credsFile, caFile, log } = this.#options;
    const connection = await connect({
      servers: url,
      name: hostId === undefined ? service : `${service}@${hostId}`,
      authenticator: credsAuthenticator(readFileSync(credsFile)),
      tls: { ca: readFileSync(caFile, "utf8") },
      inboxPrefix: inboxPrefix(service, hostId),
      waitOnFirstConnect: true,
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      reconnectTimeWait: 250,
      reconnectJitter: 500,
      reconnectJitterTLS: 500,
      pingInterval: 10_000,
      maxPingOut: 2,
      timeout: 5000,
      // Stacks for errors that do not happen, two of them for each request, cost more than all else of it.
      noAsyncTraces: true,
    });
    this.#connection = connection;
    if (hostId === undefined) {
      await ensureStreams(connection, streamsOf(service)).catch((error: unknown) =>
        log.warn("bus.streams-missing", { error: describeError(error) }),
      );
    }
    this.#up = true;
    log.info("bus.connected", { server: connection.getServer() });
    void this.#watchStatus(connection);
    void connection.closed().then((error) => {
      this.#up = false;
      if (this.#closing) return;
      log.error("bus.closed", { error: describeError(error) });
      process.exit(1);
    });
    return connection;
  }

  async #watchStatus(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") this.#up = false;
      if (status.type === "reconnect") {
        this.#up = true;
        // The server may have lost its store; a stream that is rarely published to would stay away.
        this.#repairStreams(connection);
      }
      if (status.type === "disconnect" || status.type === "reconnect")
        this.#options.log.info(`bus.${status.type}`);
      if (status.type === "error")
        this.#options.log.warn("bus.error", { error: describeError(status.error) });
    }
  }

  async emit<P extends z.ZodType>(event: EventContract<P>, payload: z.infer<P>): Promise<void> {
    const parsed = event.payload.parse(payload);
    await this.publishStored(
      fillSubject(event.subject, parsed as object),
      JSON.stringify(parsed),
      event.dedupeId(parsed),
      traceHeaders(),
    );
  }

  async publishStored(
    subject: string,
    data: string,
    dedupeId: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    if (!this.#up) throw new BerthError("unavailable", "the bus is not connected");
    const connection = await this.#connected;
    const hdrs = natsHeaders();
    for (const [name, value] of Object.entries(headers)) hdrs.set(name, value);
    try {
      await jetstream(connection).publish(subject, data, { msgID: dedupeId, headers: hdrs, timeout: 3000 });
    } catch (error) {
      this.#repairStreams(connection);
      throw error;
    }
  }

  /** Streams may be gone with the server's store. Control-plane services declare theirs again. */
  #repairStreams(connection: NatsConnection): void {
    if (this.#options.hostId !== undefined || this.#repairing) return;
    this.#repairing = true;
    ensureStreams(connection, streamsOf(this.#options.service))
      .catch((error: unknown) =>
        this.#options.log.warn("bus.streams-missing", { error: describeError(error) }),
      )
      .finally(() => {
        this.#repairing = false;
      });
  }

  signal<P extends z.ZodType>(signal: SignalContract<P>, payload: z.infer<P>): void {
    if (!this.#up || this.#connection === undefined) return;
    const parsed = signal.payload.parse(payload);
    this.#connection.publish(
      fillSubject(signal.subject, parsed as object),
      JSON.stringify(parsed),
      tracing(),
    );
  }

  on<P extends z.ZodType>(
    signal: SignalContract<P>,
    tokens: Tokens,
    handler: (payload: z.infer<P>, context: MessageContext) => void | Promise<void>,
  ): Closable {
    return this.#subscribe(
      signal.subject,
      tokens,
      async (message) => {
        const payload = this.#read(signal.payload, signal.subject, message.subject, message.data);
        if (payload === undefined) return;
        await withRemoteParent(message.parent, async () =>
          handler(payload as z.infer<P>, contextOf(message)),
        );
      },
      {},
    );
  }

  serve<P extends z.ZodType, R extends z.ZodType>(
    request: RequestContract<P, R>,
    tokens: Tokens,
    handler: (payload: z.infer<P>, context: MessageContext) => Promise<z.infer<R>>,
  ): Closable {
    // One queue per service: of several instances one answers. Host processes have their own subject.
    return this.#subscribe(
      request.subject,
      tokens,
      async (message) => {
        const payload = this.#read(request.payload, request.subject, message.subject, message.data);
        if (payload === undefined || message.reply === undefined) return;
        const answer = await withRemoteParent(message.parent, () =>
          handler(payload as z.infer<P>, contextOf(message)),
        );
        this.#connection?.publish(message.reply, JSON.stringify(request.reply.parse(answer)));
      },
      this.#options.hostId === undefined ? { queue: this.#options.service } : {},
    );
  }

  async request<P extends z.ZodType, R extends z.ZodType>(
    request: RequestContract<P, R>,
    payload: z.infer<P>,
    options: { timeoutMs?: number } = {},
  ): Promise<z.infer<R>> {
    const parsed = request.payload.parse(payload);
    return this.requestStored(request, parsed as Tokens, JSON.stringify(parsed), options);
  }

  async requestStored<P extends z.ZodType, R extends z.ZodType>(
    request: RequestContract<P, R>,
    tokens: Tokens,
    data: string,
    options: { timeoutMs?: number } = {},
  ): Promise<z.infer<R>> {
    if (!this.#up || this.#connection === undefined)
      throw new BerthError("unavailable", "the bus is not connected");
    const subject = fillSubject(request.subject, tokens);
    try {
      const reply = await this.#connection.request(subject, data, {
        timeout: options.timeoutMs ?? request.timeoutMs,
        ...tracing(),
      });
      return request.reply.parse(JSON.parse(reply.string()));
    } catch (cause) {
      throw new BerthError(
        "unavailable",
        `${request.name}: no usable answer from ${request.consumedBy.join(", ")}`,
        { cause },
      );
    }
  }

  consume<P extends z.ZodType>(
    event: EventContract<P>,
    options: ConsumeOptions,
    handler: (payload: z.infer<P>, context: MessageContext) => Promise<void>,
  ): Closable {
    const consumer = startConsumer({
      connected: this.#connected,
      event,
      options,
      handler,
      service: this.#options.service,
      log: this.#options.log,
    });
    this.#closables.push(consumer);
    return consumer;
  }

  #subscribe(
    subject: string,
    tokens: Tokens,
    handle: (message: RawMessage) => Promise<void>,
    extra: { queue?: string },
  ): Closable {
    let subscription: Subscription | undefined;
    let closed = false;
    const log = this.#options.log;
    const listen = async (connection: NatsConnection) => {
      if (closed) return;
      subscription = connection.subscribe(subjectPattern(subject, tokens), extra);
      for await (const message of subscription) {
        const raw: RawMessage = {
          subject: message.subject,
          data: message.data,
          reply: message.reply,
          parent: message.headers?.get("traceparent") || null,
        };
        // Not awaited: one slow handler must not hold up the rest. Handlers bound their own work.
        void handle(raw).catch((error: unknown) =>
          log.warn("bus.handler-failed", { subject: message.subject, error: describeError(error) }),
        );
      }
    };
    // A user of an earlier version may not listen here: the rest of the process goes on without it.
    void this.#connected
      .then(listen)
      .catch((error: unknown) =>
        log.error("bus.subscription-ended", { subject, error: describeError(error) }),
      );
    return {
      close: () => {
        closed = true;
        subscription?.unsubscribe();
      },
    };
  }

  #read(schema: z.ZodType, pattern: string, subject: string, data: Uint8Array): unknown {
    const payload = decode(schema, data);
    if (payload.ok && subjectMatches(pattern, subject, payload.value as object)) return payload.value;
    this.#options.log.warn("bus.message-refused", {
      subject,
      reason: payload.ok ? "the payload's ids are not the subject's" : payload.reason,
    });
    return undefined;
  }

  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#closables.map((closable) => closable.close()));
    await this.#telemetry.close();
    if (this.#connection === undefined) return;
    const timeout = new Promise((resolve) => setTimeout(resolve, 2000).unref());
    const connection = this.#connection;
    // What is not connected cannot be drained, and would try to connect for ever.
    await Promise.race([connection.drain().catch(() => connection.close()), timeout]);
  }
}

interface RawMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply: string | undefined;
  readonly parent: string | null;
}

function contextOf(message: RawMessage): MessageContext {
  return { subject: message.subject, traceparent: message.parent, deliveryCount: 1 };
}
