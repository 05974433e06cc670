/**
 * How the edges treat a service's requests: the form that is stored, told to every edge and shown.
 *
 * What must stay true: every text in here is of a set of characters that says nothing to a proxy's configuration, to its
 * Runtime API or to a header line. Tenants write these texts, and edges are everybody's.
 */
import { z } from "zod";
import { findRedirectLoop } from "./redirect-loop.ts";

/** All options of a service together, as JSON: each of its sites carries them in the environment's route table. */
export const MAX_HTTP_OPTIONS_BYTES = 4096;
const KIB = 1024;
export const BODY_LIMIT_BYTES = [KIB, 10 * KIB ** 3] as const;
export const RESPONSE_TIMEOUT_MS = [1000, 3_600_000] as const;
export const STREAM_TIMEOUT_MS = [10_000, 24 * 3_600_000] as const;
export const WEBSOCKET_TIMEOUT_MS = [10_000, 24 * 3_600_000] as const;
export const MAX_CORS_AGE_SECONDS = 86_400;
export const CORS_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;
export const REDIRECT_STATUSES = [301, 302, 307, 308] as const;

/** Headers of answers that an owner may set; one rule of the edges' configuration each. */
export const RESPONSE_HEADERS = [
  "cache-control",
  "content-security-policy",
  "content-security-policy-report-only",
  "cross-origin-embedder-policy",
  "cross-origin-opener-policy",
  "cross-origin-resource-policy",
  "permissions-policy",
  "referrer-policy",
  "x-content-type-options",
  "x-frame-options",
  "x-robots-tag",
] as const;

const NAME = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*";
const ORIGIN = new RegExp(`^https?://${NAME}(:[1-9][0-9]{0,4})?$`);
const HOST = new RegExp(`^${NAME}$`);
const FROM_PATH = /^\/[A-Za-z0-9._~!$&()+,=:@%/-]{0,199}(?<=\/)\*$|^\/[A-Za-z0-9._~!$&()+,=:@%/-]{0,199}$/;
const TO_PATH = /^\/(?!\/)[A-Za-z0-9._~!$&()*+,=:@%/?#-]{0,299}$/;
const TO_URL = new RegExp(`^https?://${NAME}(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~!$&()*+,=:@%/?#-]{0,299})?$`);

export const CorsOrigin = z
  .string()
  .max(200)
  .refine(
    (text) => text === "*" || ORIGIN.test(text),
    "must be an origin such as https://app.example.com, in lower case and without a path, or *",
  );

export const HttpCors = z
  .strictObject({
    origins: z.array(CorsOrigin).min(1).max(20),
    methods: z
      .array(z.enum(CORS_METHODS, `must be one of ${CORS_METHODS.join(", ")}`))
      .max(CORS_METHODS.length),
    headers: z
      .array(z.string().regex(/^[A-Za-z0-9-]{1,60}$/, "must be a header's name, such as Content-Type"))
      .max(30),
    credentials: z.boolean("must be true or false"),
    maxAgeSeconds: z.int().min(0).max(MAX_CORS_AGE_SECONDS),
  })
  .refine(
    ({ origins, credentials }) => !(credentials && origins.includes("*")),
    "credentials need origins by name: browsers refuse them for *",
  );

export const RedirectFrom = z
  .string()
  .max(253)
  .refine(
    (text) => (text.startsWith("/") ? FROM_PATH.test(text) : HOST.test(text)),
    "must be a path such as /old, all below one as /old/*, or a host name such as www.example.com",
  );
export const RedirectTo = z
  .string()
  .max(600)
  .refine(
    (text) => TO_PATH.test(text) || TO_URL.test(text),
    "must be a path such as /new, or begin with https:// or http:// and a host name",
  );

export const HttpRedirect = z
  .strictObject({
    from: RedirectFrom,
    to: RedirectTo,
    status: z.literal(REDIRECT_STATUSES, `must be one of ${REDIRECT_STATUSES.join(", ")}`),
  })
  .refine(
    ({ from, to }) => from.startsWith("/") || ORIGIN.test(to),
    "from a host name it goes to another: https://example.com, without a path, which stays as it was asked",
  );
export type HttpRedirect = z.infer<typeof HttpRedirect>;

export const HttpRedirects = z
  .array(HttpRedirect)
  .max(20, "at most 20 redirects")
  .superRefine((redirects, context) => {
    const seen = new Set<string>();
    for (const [index, { from }] of redirects.entries()) {
      if (seen.has(from))
        context.addIssue({ code: "custom", path: [index, "from"], message: "is redirected twice" });
      seen.add(from);
    }
    const loop = findRedirectLoop(redirects);
    if (loop !== null)
      context.addIssue({
        code: "custom",
        path: [loop],
        message: "leads in a circle, which no browser follows",
      });
  });

/** One line of printable ASCII: what a header may hold. */
export const HeaderText = z
  .string("must be a text")
  .regex(
    /^[\x21-\x7e]([\x20-\x7e]{0,998}[\x21-\x7e])?$/,
    "must be one line of printable ASCII, at most 1000",
  );

export const HttpOptions = z
  .strictObject({
    /** A browser stays with the instance that answered it first, by a cookie. */
    sticky: z.literal(true).optional(),
    bodyLimitBytes: z.int().min(BODY_LIMIT_BYTES[0]).max(BODY_LIMIT_BYTES[1]).optional(),
    /** Longest silence of the app until its answer, and within it. */
    responseTimeoutMs: z.int().min(RESPONSE_TIMEOUT_MS[0]).max(RESPONSE_TIMEOUT_MS[1]).optional(),
    /** The same for requests that accept `text/event-stream`. */
    streamTimeoutMs: z.int().min(STREAM_TIMEOUT_MS[0]).max(STREAM_TIMEOUT_MS[1]).optional(),
    /** Longest silence of both sides of a WebSocket. */
    websocketTimeoutMs: z.int().min(WEBSOCKET_TIMEOUT_MS[0]).max(WEBSOCKET_TIMEOUT_MS[1]).optional(),
    cors: HttpCors.optional(),
    redirects: HttpRedirects.optional(),
    /** Lower-case name → text. */
    headers: z.partialRecord(z.enum(RESPONSE_HEADERS), HeaderText).optional(),
  })
  .refine(
    (options) => JSON.stringify(options).length <= MAX_HTTP_OPTIONS_BYTES,
    `at most ${MAX_HTTP_OPTIONS_BYTES} bytes all together`,
  );
export type HttpOptions = z.infer<typeof HttpOptions>;
