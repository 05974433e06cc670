/**
 * The rules by which the proxy looks up a site's options. They are the same for all sites; what tenants wrote is in the
 * map of options alone, whose keys and values `siteOptions` makes.
 *
 * Before anything else one look tells whether the site has options at all. Where it has none, which is so for most, no
 * other rule is looked at: they were a tenth of the proxy's work.
 */
import { REDIRECT_STATUSES, RESPONSE_HEADERS } from "@berth/shared/domain/http-options.ts";
import { ACTIVATOR } from "./edge-state.ts";
import { PAGES } from "./pages.ts";
import { OPTION } from "./site-options.ts";

export const STICKY_COOKIE = "berth_instance";
/** The backend that leads back to the proxy itself; no slot is named so. */
export const ONCE = "once";

const RESPONSE_TIMEOUT =
  "  http-request set-timeout server var(txn.response_ms) if { var(txn.response_ms) -m found }";

/** The last of the frontend's rules: those of all sites come before, because these may end the list. */
export function siteRules(optionsFile: string): string {
  const words = wordsOf(optionsFile);
  const { found, look, text, number } = words;
  const unsized = `${found("body_limit")} !{ req.fhdr(content-length) -m found }`;
  return [
    `  http-request set-var(txn.options) ${text(OPTION.any)}`,
    ...["request", "response", "after-response"].map(
      (list) => `  http-${list} allow if !${found("options")}`,
    ),
    look("headers", text(OPTION.headers), found("options")),
    ...corsRules(words),
    ...redirectRules(words),
    look("body_limit", number(OPTION.bodyLimit), found("options")),
    // HTTP/2 has bodies without a word of their length: whether there is one shows when its first byte came.
    `  http-request wait-for-body time 10s at-least 1 if ${unsized}`,
    refuse(411, PAGES.lengthRequired, `${unsized} { req.body_len gt 0 }`),
    refuse(411, PAGES.lengthRequired, `${found("body_limit")} { req.fhdr(transfer-encoding) -m found }`),
    refuse(
      413,
      PAGES.tooLarge,
      `${found("body_limit")} { req.fhdr(content-length),sub(txn.body_limit) gt 0 }`,
    ),
    look("secure", "bool(true)", `${found("options")} { ssl_fc }`),
    ...instanceRules(words),
    ...headerAnswers(words),
    "",
  ].join("\n");
}

/** Of the way from the proxy to itself: what a request's second pass must know of its first one. */
export const PASSED_ON = [
  RESPONSE_TIMEOUT,
  "  http-request set-header X-Berth-Slot %[var(txn.slot)]",
  "  http-request set-header X-Berth-Site %[var(txn.site)]",
] as const;

/** Of the frontend of that second pass: what depends on the server, which only it chooses. */
export function passedRules(optionsFile: string): string {
  const words = wordsOf(optionsFile);
  const { found, look, text } = words;
  return [
    "  http-request set-var(txn.slot) req.fhdr(x-berth-slot)",
    "  http-request set-var(txn.site) req.fhdr(x-berth-site)",
    "  http-request del-header ^x-berth-(slot|site)$ -m reg",
    `  http-request set-var(txn.options) ${text(OPTION.any)}`,
    look("secure", "bool(true)", `${found("options")} { req.fhdr(x-forwarded-proto) -m str https }`),
    ...instanceRules(words),
    "",
  ].join("\n");
}

/** How long the app may take, and which instance it is. */
function instanceRules({ found, look, text, number, of, optionsFile }: Words): string[] {
  return [
    look("response_ms", number(OPTION.responseTimeout), found("options")),
    look("websocket_ms", number(OPTION.websocketTimeout), found("options")),
    look(
      "response_ms",
      number(OPTION.streamTimeout),
      `${found("options")} { req.hdr(accept) -m sub -i text/event-stream } { ${text(OPTION.streamTimeout)} -m found }`,
    ),
    look("sticky", text(OPTION.sticky), found("options")),
    look("instance", `req.cook(${STICKY_COOKIE})`, found("sticky")),
    look(
      "server",
      `${of(OPTION.instance)},concat(/,txn.instance),map_str(${optionsFile})`,
      found("instance"),
    ),
    ...stickyAnswer(found),
  ];
}

/** Of each slot: what only a backend may be told. */
export const SLOT_RULES = [
  RESPONSE_TIMEOUT,
  "  http-request set-timeout tunnel var(txn.websocket_ms) if { var(txn.websocket_ms) -m found }",
  "  use-server %[var(txn.server)] if { var(txn.server) -m found }",
] as const;

interface Words {
  readonly found: (name: string) => string;
  readonly look: (name: string, expression: string, when: string) => string;
  readonly text: (option: string) => string;
  readonly number: (option: string) => string;
  readonly of: (option: string) => string;
  readonly optionsFile: string;
}

function wordsOf(optionsFile: string): Words {
  const of = (option: string): string => `str(${option}@),concat(,txn.site)`;
  const text = (option: string): string => `${of(option)},map_str(${optionsFile})`;
  return {
    ...{ of, text, optionsFile },
    found: (name) => `{ var(txn.${name}) -m found }`,
    look: (name, expression, when) => `  http-request set-var(txn.${name}) ${expression} if ${when}`,
    // A map's values have one type, which is text; the sum makes a number of it.
    number: (option) => `${text(option)},add(0)`,
  };
}

function refuse(status: number, page: string, when: string): string {
  return `  http-request return status ${status} content-type "text/html; charset=utf-8" string '${page}' hdr Cache-Control no-store if ${when}`;
}

/** Where CORS is declared the edge alone speaks of it: what the app says is taken out. */
function corsRules({ found, look, text, of, optionsFile }: Words): string[] {
  const origin = `${of(OPTION.corsOrigin)},concat(/,txn.origin),map_str(${optionsFile})`;
  const anyOrigin = `${of(OPTION.corsOrigin)},concat(/*),map_str(${optionsFile})`;
  const tell = (header: string, name: string): string =>
    `  http-after-response set-header ${header} %[var(txn.${name})] if ${found(name)}`;
  return [
    look("cors_methods", text(OPTION.corsMethods), found("options")),
    look("origin", "req.fhdr(origin),lower", found("cors_methods")),
    look("cors", origin, found("origin")),
    look("cors", anyOrigin, `${found("origin")} !${found("cors")}`),
    look("cors_credentials", text(OPTION.corsCredentials), found("cors")),
    look(
      "preflight",
      "bool(true)",
      `METH_OPTIONS ${found("origin")} { req.fhdr(access-control-request-method) -m found }`,
    ),
    look("cors_told", "var(txn.cors_methods)", `${found("preflight")} ${found("cors")}`),
    look("cors_headers", text(OPTION.corsHeaders), found("cors_told")),
    look("cors_age", text(OPTION.corsAge), found("cors_told")),
    `  http-after-response del-header ^access-control- -m reg if ${found("cors_methods")}`,
    `  http-after-response add-header Vary Origin if ${found("cors_methods")}`,
    tell("Access-Control-Allow-Origin", "cors"),
    tell("Access-Control-Allow-Credentials", "cors_credentials"),
    tell("Access-Control-Allow-Methods", "cors_told"),
    tell("Access-Control-Allow-Headers", "cors_headers"),
    tell("Access-Control-Max-Age", "cors_age"),
    `  http-request return status 204 if ${found("cors_told")}`,
    refuse(403, PAGES.originRefused, found("preflight")),
  ];
}

function redirectRules({ found, look, text, of, optionsFile }: Words): string[] {
  const path = (option: string, match: string): string =>
    `${of(option)},concat(,txn.path),${match}(${optionsFile})`;
  const field = (n: number): string => `var(txn.go),field(${n},:)`;
  const unknown = `${found("options")} !${found("go")}`;
  return [
    look("go", text(OPTION.redirect), found("options")),
    look("go", path(OPTION.redirect, "map_str"), unknown),
    look("go", path(OPTION.redirectBelow, "map_beg"), unknown),
    look("location", `${field(2)},ub64dec`, found("go")),
    look("pathq", "pathq", `${found("go")} { ${field(3)} -m str path }`),
    look("location", "var(txn.location),concat(,txn.pathq)", found("pathq")),
    look("query", "query", `${found("go")} { ${field(3)} -m str query } { query -m len gt 0 }`),
    look("location", "var(txn.location),concat(?,txn.query)", found("query")),
    ...REDIRECT_STATUSES.map(
      (status) =>
        `  http-request redirect location %[var(txn.location)] code ${status} if ${found("location")} { ${field(1)} -m str ${status} }`,
    ),
  ];
}

/** The cookie names an instance of this site by a digest; another site's, or one that is gone, is simply not found. */
function stickyAnswer(found: Words["found"]): string[] {
  const when = `${found("sticky")} { srv_name -m found } !{ srv_name -m beg ${ACTIVATOR} } !{ be_name ${ONCE} }`;
  const other = `${found("here")} !{ var(txn.here),strcmp(txn.instance) eq 0 }`;
  const cookie = (secure: string): string =>
    `"${STICKY_COOKIE}=%[var(txn.here)]; Path=/; HttpOnly; SameSite=Lax${secure}"`;
  return [
    `  http-response set-var(txn.here) srv_name,sha1,hex if ${when}`,
    `  http-response add-header Cache-Control private if ${other}`,
    `  http-response add-header Set-Cookie ${cookie("; Secure")} if ${other} ${found("secure")}`,
    `  http-response add-header Set-Cookie ${cookie("")} if ${other} !${found("secure")}`,
  ];
}

function headerAnswers({ found, text }: Words): string[] {
  return RESPONSE_HEADERS.map(
    (name) =>
      `  http-after-response set-header ${name} %[${text(name)},ub64dec] if ${found("headers")} { ${text(name)} -m found }`,
  );
}
