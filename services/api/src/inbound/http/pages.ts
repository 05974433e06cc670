/** What needs no token: the API's description for programs and people, and the two health checks. */
import { ERRORS } from "@berth/shared/contracts/errors.ts";
import type { FastifyInstance } from "fastify";
import type { OpenApi } from "../../core/render-docs.ts";
import { renderDocs } from "../../core/render-docs.ts";

const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

export function registerPages(
  app: FastifyInstance,
  given: { readonly unready: () => Promise<string[]> },
): void {
  const hidden = { schema: { hide: true } as object };
  app.get("/openapi.json", hidden, async (_request, reply) =>
    reply.type("application/json").send(JSON.stringify(app.swagger())),
  );
  app.get("/docs", hidden, async (_request, reply) => {
    const errors = Object.entries(ERRORS).map(([code, entry]) => ({ code, ...entry }));
    const page = renderDocs(app.swagger() as unknown as OpenApi, errors);
    return reply.type("text/html; charset=utf-8").header("content-security-policy", POLICY).send(page);
  });
  app.get("/healthz", hidden, async (_request, reply) => reply.type("application/json").send('{"ok":true}'));
  app.get("/readyz", hidden, async (_request, reply) => {
    const missing = await given.unready();
    return reply
      .code(missing.length === 0 ? 200 : 503)
      .type("application/json")
      .send(JSON.stringify({ ready: missing.length === 0, missing }));
  });
}
