/** Runs handlers that stream: a bounded number per caller, cut when the caller's token or membership ends. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import type { HttpRoute } from "@berth/shared/contracts/http/route.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Caller } from "../../outbound/reach-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { authenticate, authorize, bearerToken } from "./authorize.ts";
import { EventStream } from "./event-stream.ts";
import type { Reach } from "./routes.ts";
import type { AnyHandler } from "./server.ts";

const STREAMS_PER_CALLER = 50;
const RECHECK_MS = 15_000;

interface Served {
  readonly route: HttpRoute;
  readonly reach: Reach;
  readonly handler: AnyHandler;
  readonly asked: { readonly caller: Caller | null };
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

export class EventServer {
  readonly #given: { readonly db: Db; readonly log: Log };
  readonly #openByCaller = new Map<string, number>();

  constructor(given: { readonly db: Db; readonly log: Log }) {
    this.#given = given;
  }

  async serve(served: Served): Promise<FastifyReply> {
    const { route, request, reply, asked, handler } = served;
    const who = asked.caller?.userId ?? "";
    this.#enter(who);
    let stream: EventStream<unknown> | undefined;
    const open = () => {
      reply.hijack();
      stream = new EventStream(reply.raw, { "x-request-id": request.id });
      return stream;
    };
    const recheck = setInterval(
      () => void this.#stillAllowed(served).then((yes) => yes || stream?.end()),
      RECHECK_MS,
    );
    try {
      await handler(asked, open);
    } catch (error) {
      if (stream === undefined) throw error;
      this.#given.log.warn("http.stream-failed", {
        requestId: request.id,
        route: route.path,
        error: describeError(error),
      });
    } finally {
      clearInterval(recheck);
      this.#leave(who);
      stream?.end();
    }
    return reply;
  }

  #enter(who: string): void {
    const count = this.#openByCaller.get(who) ?? 0;
    if (count >= STREAMS_PER_CALLER) {
      throw new BerthError("too-many-requests", `the limit is ${STREAMS_PER_CALLER} open streams per user`);
    }
    this.#openByCaller.set(who, count + 1);
  }

  #leave(who: string): void {
    const count = (this.#openByCaller.get(who) ?? 1) - 1;
    if (count > 0) this.#openByCaller.set(who, count);
    else this.#openByCaller.delete(who);
  }

  /** A database that is away is no reason to cut; an answer that says no is. */
  async #stillAllowed({ route, reach, request }: Served): Promise<boolean> {
    try {
      const caller = await authenticate(this.#given.db, bearerToken(request.headers.authorization));
      if (reach !== "anyone")
        await authorize(this.#given.db, caller, route, reach, request.params as Record<string, string>);
      return true;
    } catch (error) {
      return !(error instanceof BerthError);
    }
  }
}
