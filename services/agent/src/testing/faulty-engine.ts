/**
 * A bad engine: a proxy on a unix socket in front of a real Docker Engine, which breaks chosen requests.
 *
 * Every request is looked at by itself (connections are used again). What no rule names passes through as it is,
 * streams and hijacked connections included; the effects of a request are always the real engine's.
 */
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
  type ServerResponse,
} from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";

export type Fault =
  /** Answered this much later, after the effect. */
  | { readonly kind: "delay"; readonly delayMs: number }
  /** The engine does it, and the client hears 500. */
  | { readonly kind: "error-after-effect" }
  /** The engine does it, and the connection breaks before the answer. */
  | { readonly kind: "reset-after-effect" }
  /** The engine does it, and no answer ever comes. */
  | { readonly kind: "hang-after-effect" }
  /** The engine never hears of it, and no answer ever comes. */
  | { readonly kind: "hang" }
  /** The connection breaks before the engine hears of it. */
  | { readonly kind: "refuse" }
  /** A stream that stays open and says nothing. */
  | { readonly kind: "silent-stream" }
  /** A list of containers that lacks some. */
  | { readonly kind: "partial-list"; readonly lacks: (containerId: string) => boolean };

export interface FaultRule {
  /** Matched against `METHOD /path?query`, decoded. */
  readonly match: RegExp;
  readonly fault: Fault;
  /** After so many requests the rule is spent; for ever when not set. */
  readonly timesCount?: number;
}

export interface FaultyEngine {
  readonly path: string;
  /** Replaces all rules. What hangs already goes on hanging: the client's deadline ends it. */
  readonly break: (...rules: readonly FaultRule[]) => void;
  readonly heal: () => void;
  /** Requests that a rule broke since the last `break`. */
  readonly brokenCount: () => number;
  /** Every request seen, newest last. */
  readonly seen: readonly string[];
  close(): Promise<void>;
}

const MOST_SEEN = 20_000;
/** As in dockerd. */
const MOST_HEADER_BYTES = 1024 ** 2;

export async function faultyEngine(engineSocket: string): Promise<FaultyEngine> {
  const path = `${engineSocket}.faulty`;
  const rules: { readonly rule: FaultRule; left: number }[] = [];
  const seen: string[] = [];
  let broken = 0;
  const faultFor = (request: IncomingMessage): Fault | null => {
    const line = decodeURIComponent(`${request.method} ${request.url}`);
    if (seen.push(line) > MOST_SEEN) seen.shift();
    const found = rules.find(({ rule, left }) => left > 0 && rule.match.test(line));
    if (found === undefined) return null;
    found.left -= 1;
    broken += 1;
    return found.rule.fault;
  };
  const server = createServer({ maxHeaderSize: MOST_HEADER_BYTES }, (request, response) => {
    void answer(engineSocket, faultFor(request), request, response);
  });
  // Streams of logs, events and pulls last as long as they like.
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  const hijacked = new Set<Duplex>();
  server.on("upgrade", (request, client: Duplex, head: Buffer) => {
    hijacked.add(client);
    client.on("close", () => hijacked.delete(client));
    hijack(engineSocket, request, client, head);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const set = (next: readonly FaultRule[]) => {
    broken = 0;
    rules.splice(0, rules.length, ...next.map((rule) => ({ rule, left: rule.timesCount ?? Infinity })));
  };
  return {
    path,
    break: (...next) => set(next),
    heal: () => set([]),
    brokenCount: () => broken,
    seen,
    close: async () => {
      for (const client of hijacked) client.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(
  engineSocket: string,
  fault: Fault | null,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (fault?.kind === "refuse") return void request.socket.destroy();
  if (fault?.kind === "hang") return void request.resume();
  if (fault?.kind === "silent-stream") {
    request.resume();
    response.writeHead(200, { "content-type": "application/json" });
    return response.flushHeaders();
  }
  const upstream = await passOn(engineSocket, request, response);
  if (upstream === null) return void request.socket.destroy();
  if (fault === null) return passBack(upstream, response);
  const body = await collect(upstream);
  const { statusCode = 502 } = upstream;
  switch (fault.kind) {
    case "hang-after-effect":
      return;
    case "reset-after-effect":
      return void request.socket.destroy();
    case "error-after-effect":
      return sendBody(response, 500, Buffer.from('{"message":"something went wrong after all"}'));
    case "delay":
      await wait(fault.delayMs);
      return sendBody(response, statusCode, body);
    case "partial-list":
      return sendBody(response, statusCode, withoutSome(body, fault.lacks));
  }
}

/** @returns the engine's answer, or null when it cannot be reached */
function passOn(
  socketPath: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<IncomingMessage | null> {
  return new Promise((resolve) => {
    const { method, url, headers } = request;
    const options: RequestOptions = { socketPath, agent: false, headers };
    const upstream = httpRequest({ ...options, method: method ?? "GET", path: url ?? "/" });
    upstream.on("response", resolve);
    upstream.on("error", () => resolve(null));
    // A client that gave up is known to the engine, as without a proxy between them.
    response.on("close", () => {
      if (!response.writableFinished) upstream.destroy();
    });
    request.pipe(upstream);
  });
}

function passBack(upstream: IncomingMessage, response: ServerResponse): void {
  response.writeHead(upstream.statusCode ?? 502, upstream.headers);
  response.flushHeaders();
  upstream.on("error", () => response.destroy());
  upstream.pipe(response);
}

async function collect(upstream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of upstream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function sendBody(response: ServerResponse, status: number, body: Buffer): void {
  const hasBody = status !== 204 && status !== 304;
  response.writeHead(status, hasBody ? { "content-type": "application/json" } : {});
  response.end(hasBody ? body : undefined);
}

function withoutSome(body: Buffer, lacks: (containerId: string) => boolean): Buffer {
  const list = JSON.parse(body.toString("utf8")) as { readonly Id: string }[];
  return Buffer.from(JSON.stringify(list.filter(({ Id: id }) => !lacks(id))));
}

/** attach and exec: after the head the connection is no HTTP any more. */
function hijack(engineSocket: string, request: IncomingMessage, client: Duplex, head: Buffer): void {
  const engine = connect(engineSocket);
  const lines = [`${request.method} ${request.url} HTTP/1.1`];
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2)
    lines.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
  engine.write(`${lines.join("\r\n")}\r\n\r\n`);
  engine.write(head);
  engine.pipe(client);
  client.pipe(engine);
  engine.on("error", () => client.destroy());
  client.on("error", () => engine.destroy());
}
