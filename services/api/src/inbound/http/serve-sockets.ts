/**
 * Runs handlers that hold a WebSocket: token and role before the upgrade, and again every few seconds; a bounded number
 * per caller and in all. A browser cannot ask for one, because it cannot send the Authorization header with it.
 */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import type { HttpRoute } from "@berth/shared/contracts/http/route.ts";
import { TUNNEL_MESSAGE_BYTES } from "@berth/shared/contracts/http/tunnels.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { WebSocket } from "@fastify/websocket";
import websocket from "@fastify/websocket";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Caller } from "../../outbound/reach-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { authenticate, authorize, bearerToken } from "./authorize.ts";
import { toFailure } from "./errors.ts";
import type { Reach } from "./routes.ts";
import type { AnyHandler } from "./server.ts";

const SOCKETS_PER_CALLER = 32;
const SOCKETS_IN_ALL = 256;
const RECHECK_MS = 2000;
const PING_MS = 15_000;
const GOING_AWAY = 1000;

export async function registerSockets(app: FastifyInstance): Promise<void> {
  await app.register(websocket, { options: { maxPayload: TUNNEL_MESSAGE_BYTES, perMessageDeflate: false } });
}

export interface ServedSocket<E> {
  readonly raw: WebSocket;
  /** Aborted when the other end left, or may not stay: `reason` is which of both. */
  readonly ended: AbortSignal;
  say(event: E): void;
}

export type SocketEnd = "client-left" | "access-ended";

interface SocketHooks {
  readonly preHandler: (request: FastifyRequest) => Promise<void>;
  readonly wsHandler: (socket: WebSocket, request: FastifyRequest) => void;
}

interface Served {
  readonly route: HttpRoute;
  readonly reach: Reach;
  readonly handler: AnyHandler;
  readonly ask: (request: FastifyRequest) => Promise<{ readonly caller: Caller | null }>;
}

export class SocketServer {
  readonly #given: { readonly db: Db; readonly log: Log };
  readonly #openByCaller = new Map<string, number>();
  readonly #asked = new WeakMap<FastifyRequest, { readonly caller: Caller | null }>();
  #openCount = 0;

  constructor(given: { readonly db: Db; readonly log: Log }) {
    this.#given = given;
  }

  serve(served: Served): SocketHooks {
    return {
      // Before the upgrade: who may not gets an HTTP error.
      preHandler: async (request) => {
        const asked = await served.ask(request);
        this.#checkRoom(asked.caller?.userId ?? "");
        this.#asked.set(request, asked);
      },
      wsHandler: (socket, request) => void this.#run(served, socket, request),
    };
  }

  async #run({ route, reach, handler }: Served, raw: WebSocket, request: FastifyRequest): Promise<void> {
    const asked = this.#asked.get(request);
    const who = asked?.caller?.userId ?? "";
    const ended = new AbortController();
    const end = (why: SocketEnd) => ended.abort(why);
    const timers = watchSocket(raw, end, () => this.#stillAllowed(route, reach, request));
    raw.on("close", () => end("client-left"));
    raw.on("error", () => end("client-left"));
    const say = (event: unknown) => raw.send(JSON.stringify(event), () => undefined);
    this.#enter(who);
    try {
      await handler(asked, { raw, ended: ended.signal, say });
    } catch (error) {
      const { body, log } = toFailure(error, request.id);
      const { log: logger } = this.#given;
      if (log)
        logger.warn("http.socket-failed", {
          requestId: request.id,
          route: route.path,
          error: describeError(error),
        });
      say({ type: "refused", error: body });
    } finally {
      for (const timer of timers) clearInterval(timer);
      this.#leave(who);
      raw.close(GOING_AWAY);
      // An end that does not answer is not waited for.
      setTimeout(() => raw.terminate(), RECHECK_MS).unref();
    }
  }

  #checkRoom(who: string): void {
    if ((this.#openByCaller.get(who) ?? 0) >= SOCKETS_PER_CALLER)
      throw new BerthError(
        "too-many-requests",
        `the limit is ${SOCKETS_PER_CALLER} open tunnel connections per user`,
      );
    if (this.#openCount >= SOCKETS_IN_ALL)
      throw new BerthError(
        "too-many-requests",
        `the limit is ${SOCKETS_IN_ALL} open tunnel connections in all`,
      );
  }

  #enter(who: string): void {
    this.#openCount += 1;
    this.#openByCaller.set(who, (this.#openByCaller.get(who) ?? 0) + 1);
  }

  #leave(who: string): void {
    this.#openCount -= 1;
    const count = (this.#openByCaller.get(who) ?? 1) - 1;
    if (count > 0) this.#openByCaller.set(who, count);
    else this.#openByCaller.delete(who);
  }

  /** A database that is away is no reason to cut; an answer that says no is. */
  async #stillAllowed(route: HttpRoute, reach: Reach, request: FastifyRequest): Promise<boolean> {
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

/** A machine that was put to sleep sends no end: it is asked, and must answer before the next question. */
function watchSocket(
  raw: WebSocket,
  end: (why: SocketEnd) => void,
  isAllowed: () => Promise<boolean>,
): NodeJS.Timeout[] {
  let answered = true;
  raw.on("pong", () => {
    answered = true;
  });
  return [
    setInterval(() => void isAllowed().then((yes) => yes || end("access-ended")), RECHECK_MS),
    setInterval(() => {
      // One that is not read now, because the instance is slow, cannot be heard; nor one that does not read.
      if (raw.isPaused || raw.bufferedAmount > 0) answered = true;
      if (!answered) return end("client-left");
      answered = false;
      raw.ping();
    }, PING_MS),
  ];
}
