/** Calls a route of the contract with fetch: typed by the route, both ends validated. Browser-safe. */
import type { z } from "zod";
import { ErrorBody, type ErrorCode } from "../errors.ts";
import type { HttpRoute } from "./route.ts";

export interface ApiTarget {
  readonly apiUrl: string;
  readonly token?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

type Given<R extends HttpRoute> = {
  readonly params?: z.input<R["params"]>;
  readonly query?: z.input<R["query"]>;
  readonly body?: z.input<R["body"]>;
};

/** The api's own refusal, in its own words. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly next: string;
  readonly requestId: string | undefined;
  constructor(status: number, body: ErrorBody) {
    super(body.message);
    this.status = status;
    this.code = body.code;
    this.next = body.next;
    this.requestId = body.requestId;
  }
}

/** No usable answer: nothing listens, the network is away, or something else than the api answered. */
export class ApiUnreachable extends Error {
  override name = "ApiUnreachable";
}

/** @throws ApiError when the api refuses, ApiUnreachable when it does not answer in time or not as agreed */
export async function callRoute<R extends HttpRoute>(
  target: ApiTarget,
  route: R,
  given: Given<R> = {},
): Promise<z.output<R["reply"]>> {
  const response = await openRoute(target, route, given);
  const parsed = route.reply.safeParse(await response.json().catch(() => undefined));
  if (!parsed.success)
    throw new ApiUnreachable(
      `${route.method} ${route.path} answered something that is not in the contract: ${parsed.error.message.slice(0, 300)}`,
    );
  return parsed.data as z.output<R["reply"]>;
}

/** Opens a route and leaves the body to the caller: for `shape: "events"`. */
export async function openRoute<R extends HttpRoute>(
  target: ApiTarget,
  route: R,
  given: Given<R> = {},
): Promise<Response> {
  const timeout = route.shape === "events" ? undefined : AbortSignal.timeout(target.timeoutMs ?? 30_000);
  const signals = [timeout, target.signal].filter((signal) => signal !== undefined);
  let response: Response;
  try {
    response = await fetch(routeUrl(target.apiUrl, route, given), {
      method: route.method,
      headers: {
        ...(target.token === undefined ? {} : { authorization: `Bearer ${target.token}` }),
        ...(given.body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(given.body === undefined ? {} : { body: JSON.stringify(given.body) }),
      ...(signals.length === 0 ? {} : { signal: AbortSignal.any(signals) }),
    });
  } catch (cause) {
    throw new ApiUnreachable(`the api at ${target.apiUrl} does not answer`, { cause });
  }
  if (response.ok) return response;
  const refusal = ErrorBody.safeParse(await response.json().catch(() => undefined));
  if (refusal.success) throw new ApiError(response.status, refusal.data);
  throw new ApiUnreachable(
    `${target.apiUrl} answered ${response.status} without an error of the catalogue: is it Berth's api?`,
  );
}

function routeUrl(apiUrl: string, route: HttpRoute, given: { params?: unknown; query?: unknown }): URL {
  const params = (given.params ?? {}) as Record<string, string>;
  const path = route.path.replace(/:(\w+)/g, (_all, name: string) => encodeURIComponent(params[name] ?? ""));
  const url = new URL(path, apiUrl);
  for (const [name, value] of Object.entries((given.query ?? {}) as Record<string, unknown>)) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  return url;
}
