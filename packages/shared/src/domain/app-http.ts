/** The `http` part of berth.yaml, as people write it, and what becomes of it. */
import { z } from "zod";
import {
  BODY_LIMIT_BYTES,
  CORS_METHODS,
  HeaderText,
  HttpCors,
  HttpOptions,
  MAX_CORS_AGE_SECONDS,
  REDIRECT_STATUSES,
  RESPONSE_HEADERS,
  RESPONSE_TIMEOUT_MS,
  RedirectFrom,
  RedirectTo,
  STREAM_TIMEOUT_MS,
  WEBSOCKET_TIMEOUT_MS,
} from "./http-options.ts";
import { measured, readDuration } from "./measured.ts";
import { parseBytes } from "./resources.ts";

const bodyLimit = measured(parseBytes, BODY_LIMIT_BYTES, { example: "10MB", range: "1KB to 10GB" });
const responseTimeout = measured(readDuration, RESPONSE_TIMEOUT_MS, { example: "30s", range: "1s to 1h" });
const streamTimeout = measured(readDuration, STREAM_TIMEOUT_MS, { example: "15m", range: "10s to 24h" });
const websocketTimeout = measured(readDuration, WEBSOCKET_TIMEOUT_MS, { example: "2h", range: "10s to 24h" });
const maxAge = measured(readDuration, [0, MAX_CORS_AGE_SECONDS * 1000], {
  example: "10m",
  range: "0s to 24h",
});

const cors = HttpCors.shape;
const DEFAULT_METHODS: z.infer<typeof HttpCors>["methods"] = ["GET", "HEAD", "POST"];
const DEFAULT_AGE_SECONDS = 600;
/** Nothing remembers it: a wrong redirect is mended for everybody at once. */
const DEFAULT_STATUS = 302;

export const AppCors = z
  .strictObject({
    origins: cors.origins,
    methods: cors.methods.optional(),
    headers: cors.headers.optional(),
    credentials: cors.credentials.optional(),
    "max-age": maxAge.optional(),
  })
  .refine(
    ({ origins, credentials }) => !(credentials === true && origins.includes("*")),
    "credentials need origins by name: browsers refuse them for *",
  );

export const AppRedirect = z.strictObject({
  from: RedirectFrom,
  to: RedirectTo,
  status: z.literal(REDIRECT_STATUSES, `must be one of ${REDIRECT_STATUSES.join(", ")}`).optional(),
});

const HeaderName = z.string().refine(isHeader, {
  error: ({ input }) =>
    String(input).toLowerCase() === "strict-transport-security"
      ? "is a domain's: berth domains set DOMAIN --hsts"
      : `cannot be set; these can: ${RESPONSE_HEADERS.join(", ")}`,
});

function isHeader(name: string): boolean {
  return (RESPONSE_HEADERS as readonly string[]).includes(name.toLowerCase());
}

export const AppHttp = z.strictObject({
  sticky: z.boolean("must be true or false").optional(),
  "body-limit": bodyLimit.optional(),
  "response-timeout": responseTimeout.optional(),
  "stream-timeout": streamTimeout.optional(),
  "websocket-timeout": websocketTimeout.optional(),
  cors: AppCors.optional(),
  redirects: z.array(AppRedirect).optional(),
  headers: z.record(HeaderName, HeaderText).optional(),
});
export type AppHttp = z.output<typeof AppHttp>;

/** As stored; with its own problems, which may concern several keys at once. */
export const AppHttpOptions = AppHttp.transform((given, context): HttpOptions => {
  const parsed = HttpOptions.safeParse(toOptions(given));
  if (parsed.success) return parsed.data;
  for (const { path, message } of parsed.error.issues) context.addIssue({ code: "custom", path, message });
  return z.NEVER;
});

function toOptions(given: AppHttp): unknown {
  const options = {
    sticky: given.sticky === true ? true : undefined,
    bodyLimitBytes: given["body-limit"],
    responseTimeoutMs: given["response-timeout"],
    streamTimeoutMs: given["stream-timeout"],
    websocketTimeoutMs: given["websocket-timeout"],
    cors: given.cors === undefined ? undefined : toCors(given.cors),
    redirects: given.redirects?.map((one) => ({ status: DEFAULT_STATUS, ...one })),
    headers:
      given.headers === undefined
        ? undefined
        : Object.fromEntries(Object.entries(given.headers).map(([name, text]) => [name.toLowerCase(), text])),
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function toCors(given: z.output<typeof AppCors>): z.input<typeof HttpCors> {
  const { origins, methods = DEFAULT_METHODS, headers = [], credentials = false } = given;
  const ageMs = given["max-age"];
  const maxAgeSeconds = ageMs === undefined ? DEFAULT_AGE_SECONDS : Math.floor(ageMs / 1000);
  return {
    origins,
    methods: CORS_METHODS.filter((one) => methods.includes(one)),
    headers,
    credentials,
    maxAgeSeconds,
  };
}
