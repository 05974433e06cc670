/**
 * A typed client made from the same route objects that the api serves. Every call has a deadline; a stream has one
 * for silence, because the api sends an empty line every 15 s.
 */

import { ErrorBody } from "@berth/shared/contracts/errors.ts";
import * as contract from "@berth/shared/contracts/http/api.ts";
import type { HttpRoute } from "@berth/shared/contracts/http/route.ts";
import { z } from "zod";
import { withProgress } from "./output/progress.ts";
import { CliError, EXIT, exitCodeOf } from "./session/cli-error.ts";

type Contract = typeof contract;
const ROUTES: Contract = { ...contract };
type RouteName = { [K in keyof Contract]: Contract[K] extends HttpRoute ? K : never }[keyof Contract];
type EventRouteName = "watchDeploy" | "readLogs" | "watchEvents";
type SocketRouteName = "openTunnel";
export type JsonRouteName = Exclude<RouteName, EventRouteName | SocketRouteName>;

/** What a route needs; what it does not need is left out, and a query with defaults may be. */
type Empty = Record<string, never>;
type Params<T> = T extends Empty ? unknown : { readonly params: T };
type Query<T> = T extends Empty ? unknown : { readonly query?: T };
type Body<T> = undefined extends T ? unknown : { readonly body: T };
export type Given<N extends RouteName> = Params<z.input<Contract[N]["params"]>> &
  Query<z.input<Contract[N]["query"]>> &
  Body<z.input<Contract[N]["body"]>>;
export type Answer<N extends RouteName> = z.output<Contract[N]["reply"]>;

interface Sent {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
}

const CALL_TIMEOUT_MS = 30_000;
const SILENCE_TIMEOUT_MS = 45_000;

/** An error that the API answered. */
export class ApiError extends CliError {
  override name = "ApiError";
  readonly body: ErrorBody;
  constructor(body: ErrorBody) {
    const id = body.code === "internal" && body.requestId !== undefined ? ` (request ${body.requestId})` : "";
    super(`${body.message}${id}`, { next: body.next, exitCode: exitCodeOf(body.code) });
    this.body = body;
  }
}

/** The connection was lost, or never stood; trying again may help. */
export class ConnectionError extends CliError {
  override name = "ConnectionError";
}

export class Client {
  readonly #apiUrl: string;
  readonly #token: string | null;

  constructor(given: { apiUrl: string; token: string | null }) {
    this.#apiUrl = given.apiUrl.replace(/\/+$/, "");
    this.#token = given.token;
  }

  get apiUrl(): string {
    return this.#apiUrl;
  }

  /** @throws CliError with what to do next */
  async call<N extends JsonRouteName>(name: N, given: Given<N>): Promise<Answer<N>> {
    const route: HttpRoute = ROUTES[name];
    const work = async () => {
      const response = await this.#send(route, given as Sent, AbortSignal.timeout(CALL_TIMEOUT_MS));
      return readReply(route, await readJson(response));
    };
    return (await withProgress(`${route.summary} at ${this.#apiUrl}`, work())) as Answer<N>;
  }

  /** Events until the api ends the stream or `signal` aborts. */
  async *stream<N extends EventRouteName>(
    name: N,
    given: Given<N>,
    signal: AbortSignal,
  ): AsyncGenerator<Answer<N>> {
    const route: HttpRoute = ROUTES[name];
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), SILENCE_TIMEOUT_MS);
    try {
      const response = await this.#send(route, given as Sent, AbortSignal.any([signal, silence.signal]));
      for await (const line of readLines(response, () => timer.refresh())) {
        if (line !== "") yield readReply(route, parseJson(line)) as Answer<N>;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof CliError) throw error;
      throw new ConnectionError(`the connection to ${this.#apiUrl} was lost`, {
        cause: error,
        next: "Run the command again.",
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Where a WebSocket of the API is, and what to say to be let in. */
  socketTarget<N extends SocketRouteName>(
    name: N,
    given: Given<N>,
  ): { readonly url: string; readonly headers: Readonly<Record<string, string>> } {
    const { url, headers } = this.#target(ROUTES[name], given as Sent);
    return { url: url.replace(/^http/, "ws"), headers };
  }

  #target(route: HttpRoute, given: Sent): { url: string; headers: Record<string, string> } {
    if (this.#token === null && route.role !== "anyone") {
      throw new CliError("you are not logged in", {
        exitCode: EXIT.notLoggedIn,
        next: "Run `berth login`, or set BERTH_TOKEN.",
      });
    }
    return {
      url: `${this.#apiUrl}${fillPath(route.path, given.params ?? {})}${queryText(given.query ?? {})}`,
      headers: this.#token === null ? {} : { authorization: `Bearer ${this.#token}` },
    };
  }

  async #send(route: HttpRoute, given: Sent, signal: AbortSignal): Promise<Response> {
    const { url, headers } = this.#target(route, given);
    const response = await this.#fetch(url, {
      method: route.method,
      signal,
      redirect: "error",
      headers: {
        accept: "application/json",
        ...headers,
        ...(given.body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(given.body === undefined ? {} : { body: JSON.stringify(given.body) }),
    });
    if (response.ok) return response;
    throw await toError(response, url);
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(url, init);
    } catch (cause) {
      const why =
        cause instanceof Error && cause.name === "TimeoutError"
          ? `no answer in ${CALL_TIMEOUT_MS / 1000} s`
          : reasonOf(cause);
      const next = "Check the address (`berth login --api URL` or BERTH_API) and that the pod is up.";
      throw new ConnectionError(`the API at ${this.#apiUrl} does not answer: ${why}`, { cause, next });
    }
  }
}

function fillPath(path: string, params: Readonly<Record<string, string>>): string {
  return path.replace(/:(\w+)/g, (_all, name: string) => encodeURIComponent(params[name] ?? ""));
}

function queryText(query: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(query).filter(([, value]) => value !== undefined);
  return entries.length === 0
    ? ""
    : `?${new URLSearchParams(entries.map(([name, value]): [string, string] => [name, String(value)]))}`;
}

async function toError(response: Response, url: string): Promise<CliError> {
  const body = ErrorBody.safeParse(await readJson(response).catch(() => null));
  if (body.success) return new ApiError(body.data);
  return new CliError(
    `${url} answered ${response.status} ${response.statusText}, and not as Berth's API would`,
    {
      next: "Check the address: `berth login --api URL` or BERTH_API.",
    },
  );
}

async function readJson(response: Response): Promise<unknown> {
  return parseJson(await response.text());
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CliError("the API's answer is not JSON", {
      cause,
      next: "Check the address: `berth login --api URL` or BERTH_API.",
    });
  }
}

/** Fields that this CLI does not know yet are no error: contracts grow by adding. */
function readReply(route: HttpRoute, value: unknown): unknown {
  const parsed = route.reply.safeParse(value);
  if (parsed.success) return parsed.data;
  if (parsed.error.issues.every((issue) => issue.code === "unrecognized_keys")) return value;
  throw new CliError(
    `the API's answer has another form than this CLI knows: ${z.prettifyError(parsed.error).slice(0, 300)}`,
    {
      next: "Use the CLI of the same version as the pod.",
    },
  );
}

async function* readLines(response: Response, onChunk: () => void): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of (response.body ?? new ReadableStream<Uint8Array>()).pipeThrough(
    new TextDecoderStream(),
  )) {
    onChunk();
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (code === "ECONNREFUSED") return "nothing listens there";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "the name is unknown";
  if (cause instanceof Error) return cause.message;
  return error instanceof Error ? error.message : String(error);
}
