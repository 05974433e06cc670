/**
 * The HTTP server: every route of the contract, in this order for each request: rate limit, token, schema,
 * membership, handler. Foreign and missing things look the same; unknown keys are refused by name.
 */
import { randomUUID } from "node:crypto";
import { BerthError } from "@berth/shared/contracts/errors.ts";
import type { HttpRoute } from "@berth/shared/contracts/http/route.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { withSpan } from "@berth/shared/kit/telemetry.ts";
import swagger from "@fastify/swagger";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import fastify from "fastify";
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Caller } from "../../outbound/reach-store.ts";
import { hashToken } from "../../outbound/reach-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { authenticate, authorize, bearerToken } from "./authorize.ts";
import { toFailure } from "./errors.ts";
import type { Handlers } from "./handler.ts";
import { registerPages } from "./pages.ts";
import { RateLimit } from "./rate-limit.ts";
import type { Reach, RouteName } from "./routes.ts";
import { AUTHORIZATION, allRoutes } from "./routes.ts";
import { EventServer } from "./serve-events.ts";
import { registerSockets, SocketServer } from "./serve-sockets.ts";

const BODY_LIMIT_BYTES = 512 * 1024;

export interface ServerGiven {
  readonly db: Db;
  readonly log: Log;
  readonly handlers: Handlers;
  readonly publicUrl: string;
  readonly requestsPerSecond: number;
  /** Names of parts that do not answer; empty when requests can be served. */
  readonly unready: () => Promise<string[]>;
}

declare module "fastify" {
  interface FastifyRequest {
    caller: Caller | null;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the pairing of a route and its handler is checked where `Handlers` is made
export type AnyHandler = (...given: any[]) => Promise<unknown>;

export async function createServer(given: ServerGiven): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: 30_000,
    keepAliveTimeout: 65_000,
    genReqId: () => randomUUID(),
    forceCloseConnections: true,
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.decorateRequest("caller", null);
  app.addHook("onRequest", async (request, reply) => {
    reply.headers({
      "x-request-id": request.id,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
  });
  app.setErrorHandler((error, request, reply) => answerFailure(given.log, error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    answerFailure(
      given.log,
      new BerthError("not-found", `there is no route ${request.method} ${request.url.split("?")[0]}`),
      request,
      reply,
    ),
  );
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Berth API",
        version: "1",
        description: "Push code, get a running app. Send `Authorization: Bearer <token>`.",
      },
      servers: [{ url: given.publicUrl }],
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
    },
    transform: jsonSchemaTransform,
  });
  await registerSockets(app);
  const shared = {
    gate: createGate(given),
    events: new EventServer(given),
    sockets: new SocketServer(given),
  };
  for (const [name, route] of allRoutes()) registerRoute(app, given, shared, name, route);
  registerPages(app, given);
  await app.ready();
  return app;
}

function answerFailure(log: Log, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const failure = toFailure(error, request.id);
  if (failure.log) {
    const fields = {
      requestId: request.id,
      route: request.routeOptions.url,
      status: failure.status,
      error: describeError(error),
    };
    log[failure.status === 500 ? "error" : "warn"]("http.failed", fields);
  }
  if (reply.raw.headersSent) return reply;
  return reply.code(failure.status).type("application/json").serializer(JSON.stringify).send(failure.body);
}

type Gate = (request: FastifyRequest) => Promise<void>;

/** Rate limit and token, before the body is read. Who has no good token shares a small bucket per address. */
function createGate(given: ServerGiven): Gate {
  const perToken = new RateLimit({
    capacity: given.requestsPerSecond * 4,
    perSecond: given.requestsPerSecond,
  });
  const perAddress = new RateLimit({
    capacity: given.requestsPerSecond,
    perSecond: Math.max(1, given.requestsPerSecond / 5),
  });
  return async (request) => {
    const token = bearerToken(request.headers.authorization);
    if (token !== undefined) perToken.take(hashToken(token), Date.now());
    try {
      request.caller = await authenticate(given.db, token);
    } catch (error) {
      if (error instanceof BerthError && error.code === "unauthenticated")
        perAddress.take(request.ip, Date.now());
      throw error;
    }
  };
}

interface Shared {
  readonly gate: Gate;
  readonly events: EventServer;
  readonly sockets: SocketServer;
}

function registerRoute(
  app: FastifyInstance,
  given: ServerGiven,
  shared: Shared,
  name: RouteName,
  route: HttpRoute,
): void {
  const reach: Reach = AUTHORIZATION[name];
  const handler = given.handlers[name] as AnyHandler;
  const anonymous = new RateLimit({
    capacity: given.requestsPerSecond,
    perSecond: Math.max(1, given.requestsPerSecond / 5),
  });
  app.route({
    method: route.method,
    url: route.path,
    schema: {
      operationId: name,
      summary: route.summary,
      description: `For: ${route.role}.${SHAPES[route.shape]}`,
      tags: [route.path.split("/").includes("services") ? "services" : (route.path.split("/")[2] ?? "")],
      ...(route.role === "anyone" ? {} : { security: [{ token: [] }] }),
      params: route.params,
      querystring: route.query,
      ...(hasBody(route) ? { body: route.body } : {}),
      response: { 200: route.reply },
    } as object,
    onRequest: async (request) =>
      reach === "anyone" ? anonymous.take(request.ip, Date.now()) : shared.gate(request),
    ...(route.shape === "socket"
      ? shared.sockets.serve({
          route,
          reach,
          handler,
          ask: (request) => ask(given.db, route, reach, request),
        })
      : {}),
    handler: async (request: FastifyRequest, reply: FastifyReply) => {
      if (route.shape === "socket")
        throw new BerthError("invalid-input", "this route is a WebSocket: it needs an upgrade");
      refuseBody(route, request.body);
      const asked = await ask(given.db, route, reach, request);
      if (route.shape === "events")
        return shared.events.serve({ route, reach, asked, request, reply, handler });
      if (route.method === "GET") return handler(asked);
      return withSpan(`${route.method} ${route.path}`, { "berth.request_id": request.id }, () =>
        handler(asked),
      );
    },
  });
}

const SHAPES: Record<HttpRoute["shape"], string> = {
  json: "",
  events:
    " Answers newline-delimited JSON, one object per line, until the end; empty lines keep the connection alive.",
  socket: " A WebSocket; the api's text messages are told here, binary messages are bytes.",
};

function hasBody(route: HttpRoute): boolean {
  return !(route.body instanceof z.ZodUndefined);
}

function refuseBody(route: HttpRoute, body: unknown): void {
  if (hasBody(route) || body === undefined || body === null) return;
  const keys = typeof body === "object" ? Object.keys(body) : ["body"];
  if (keys.length > 0)
    throw new BerthError(
      "invalid-input",
      `this request takes no body, but has: ${keys.slice(0, 5).join(", ")}`,
    );
}

async function ask(db: Db, route: HttpRoute, reach: Reach, request: FastifyRequest) {
  const { caller, params, query, body } = request;
  const object =
    reach === "anyone" || caller === null
      ? null
      : await authorize(db, caller, route, reach, params as Record<string, string>);
  const actor = {
    actor: caller?.userId ?? "nobody",
    tokenId: caller?.tokenId ?? null,
    requestId: request.id,
    remoteAddress: request.ip,
  };
  return { caller, object, params, query, body, actor };
}
