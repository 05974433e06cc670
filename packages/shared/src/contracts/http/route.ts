/** An HTTP route as data: the api serves it, the CLI calls it, OpenAPI and the authorization test read it. */
import { z } from "zod";

export type Role = "anyone" | "member" | "owner" | "operator";

export interface HttpRoute<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
  Reply extends z.ZodType = z.ZodType,
> {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** `:name` segments are the keys of `params`. */
  readonly path: string;
  /** Least role; `member` and `owner` are of the org that owns the thing. */
  readonly role: Role;
  readonly summary: string;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly reply: Reply;
  /**
   * `json` once; `events`: newline-delimited JSON (one `reply` per line) until the end; `socket`: a WebSocket, whose
   * text messages of the api are each one `reply`.
   */
  readonly shape: "json" | "events" | "socket";
}

const nothing = z.strictObject({});
type Nothing = typeof nothing;

export function route<
  Reply extends z.ZodType,
  Params extends z.ZodType = Nothing,
  Query extends z.ZodType = Nothing,
  Body extends z.ZodType = z.ZodUndefined,
>(
  given: Pick<HttpRoute, "method" | "path" | "role" | "summary"> & {
    reply: Reply;
    params?: Params;
    query?: Query;
    body?: Body;
    shape?: HttpRoute["shape"];
  },
): HttpRoute<Params, Query, Body, Reply> {
  return {
    params: nothing as unknown as Params,
    query: nothing as unknown as Query,
    body: z.undefined() as unknown as Body,
    shape: "json",
    ...given,
  };
}
