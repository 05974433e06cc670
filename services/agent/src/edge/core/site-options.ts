/**
 * A site's options as entries of the proxy's map of options: hot, and no text of a tenant is ever part of a
 * configuration. What may hold more than letters, digits and a path's or a name's own signs is in base64url.
 */
import { createHash } from "node:crypto";
import type { RouteSite } from "@berth/shared/contracts/route.ts";
import type { HttpOptions, HttpRedirect } from "@berth/shared/domain/http-options.ts";
import { serverName } from "./edge-state.ts";

/** First parts of the keys; `OPTION@HOST`, and for those with more `OPTION@HOST/MORE`. */
export const OPTION = {
  /** Set for each site that has any of the others: without it none is looked for. */
  any: "any",
  sticky: "sticky",
  /** More: what a browser's cookie says. Value: the server. */
  instance: "instance",
  bodyLimit: "body",
  responseTimeout: "wait",
  streamTimeout: "stream",
  websocketTimeout: "tunnel",
  /** More: an origin, or `*`. Value: what browsers are told. */
  corsOrigin: "cors",
  corsMethods: "cors-methods",
  corsHeaders: "cors-headers",
  corsCredentials: "cors-credentials",
  corsAge: "cors-age",
  /** With a path as more: of that path alone. Value: STATUS:WHERE:REST, where WHERE is base64url. */
  redirect: "go",
  /** More: the path above those that are redirected. */
  redirectBelow: "go-below",
  /** Set when the site has headers of its own; each is under its own name. */
  headers: "headers",
} as const;

/** What of the request goes on to where a redirect leads: path and query, the query, or nothing. */
type Rest = "path" | "query" | "none";

export function siteOptions(site: RouteSite): Map<string, string> {
  const { hostname, http } = site;
  if (http === undefined) return new Map();
  const plain: [string, string | number | undefined][] = [
    [OPTION.bodyLimit, http.bodyLimitBytes],
    [OPTION.responseTimeout, http.responseTimeoutMs],
    [OPTION.streamTimeout, http.streamTimeoutMs],
    [OPTION.websocketTimeout, http.websocketTimeoutMs],
  ];
  const named = [
    ...plain.filter(([, value]) => value !== undefined),
    ...stickyEntries(site),
    ...corsEntries(http),
    ...headerEntries(http),
  ].map(([name, value]): [string, string] => {
    const [option = "", ...more] = name.split("/");
    return [[`${option}@${hostname}`, ...more].join("/"), String(value)];
  });
  const redirects = (http.redirects ?? []).map((one) => redirectEntry(hostname, one));
  const all = [...named, ...redirects];
  return new Map(all.length === 0 ? [] : [[`${OPTION.any}@${hostname}`, "1"], ...all]);
}

/** Says nothing of where the instance is. */
export function instanceToken(server: string): string {
  return createHash("sha1").update(server).digest("hex").toUpperCase();
}

function stickyEntries({ http, backends, sleep }: RouteSite): [string, string][] {
  if (http?.sticky !== true) return [];
  const servers = sleep === undefined ? backends.map(serverName) : [];
  return [
    [OPTION.sticky, "1"],
    ...servers.map((name): [string, string] => [`${OPTION.instance}/${instanceToken(name)}`, name]),
  ];
}

function corsEntries({ cors }: HttpOptions): [string, string | number][] {
  if (cors === undefined) return [];
  const { origins, methods, headers, credentials, maxAgeSeconds } = cors;
  return [
    // The key has an origin's slashes too: it is looked up as one text.
    ...origins.map((origin): [string, string] => [`${OPTION.corsOrigin}/${origin}`, origin]),
    [OPTION.corsMethods, methods.join(",")],
    ...(headers.length === 0 ? [] : [[OPTION.corsHeaders, headers.join(",")] as [string, string]]),
    ...(credentials ? [[OPTION.corsCredentials, "true"] as [string, string]] : []),
    [OPTION.corsAge, maxAgeSeconds],
  ];
}

function headerEntries({ headers = {} }: HttpOptions): [string, string][] {
  const entries = Object.entries(headers).map(([name, text]): [string, string] => [name, base64Url(text)]);
  return entries.length === 0 ? [] : [[OPTION.headers, "1"], ...entries];
}

function redirectEntry(hostname: string, { from, to, status }: HttpRedirect): [string, string] {
  const value = (rest: Rest) => `${status}:${base64Url(to)}:${rest}`;
  if (!from.startsWith("/")) return [`${OPTION.redirect}@${hostname}`, value("path")];
  const rest = /[?#]/.test(to) ? "none" : "query";
  return from.endsWith("/*")
    ? [`${OPTION.redirectBelow}@${hostname}${from.slice(0, -1)}`, value(rest)]
    : [`${OPTION.redirect}@${hostname}${from}`, value(rest)];
}

function base64Url(text: string): string {
  return Buffer.from(text, "latin1").toString("base64url");
}
