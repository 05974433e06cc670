/**
 * haproxy.cfg and the map of host names, as text.
 *
 * The file holds the current servers too, so a proxy that starts with no agent and no control plane serves
 * what was last known. It must load in HAProxy 2.6 (Debian 12) and 3.0 (Debian 13).
 *
 * Choices that are not obvious:
 *  - Connections to apps are used again, which is two thirds of the proxy's work. An idle one races with the app's own
 *    keep-alive timeout (Node 5 s, gunicorn 2 s), and whoever loses gets no answer. So only a request that may be sent
 *    twice (GET, HEAD and OPTIONS without a body) goes over a used connection, and it is sent again when there is no
 *    answer at all. `http-reuse safe` gives the first request of every client connection a connection of its own; the
 *    others that may not be repeated are made first ones: they go through the proxy once more (`once`).
 *  - But for those, only a connection that could not be made is tried again, on another server.
 *  - A request with both Content-Length and Transfer-Encoding is read by the latter alone, the former is taken
 *    out, and the client's connection ends after the answer (RFC 9112, 6.3): nothing can be smuggled behind it.
 *  - Upgrade passes for WebSocket only: with h2c a client would get behind the rules about headers.
 *  - Header names with `_` are taken out: X_Forwarded_For looks like X-Forwarded-For to CGI and WSGI.
 *  - The query string is in no log.
 */
import { createHash } from "node:crypto";
import { SOURCE_BITS } from "@berth/shared/domain/source-list.ts";
import {
  type EdgePlace,
  type EdgeState,
  endpointOf,
  MAINTENANCE,
  passName,
  slotName,
  wantedImage,
} from "./edge-state.ts";
import { certificatePath, listFile, type WantedTls } from "./edge-tls.ts";
import { PAGES } from "./pages.ts";
import { serverOptions, sourceKey } from "./runtime-text.ts";
import { ONCE, PASSED_ON, passedRules, SLOT_RULES, siteRules } from "./site-rules.ts";

export interface EdgeSettings extends EdgePlace {
  /** Where the public HTTP port listens, such as `*` or `127.0.0.1`. */
  readonly bindAddress: string;
  /** Null: no plain HTTP. */
  readonly port: number | null;
  /** The public HTTPS port and the folder of its certificates; null for none. */
  readonly tlsPort: number | null;
  /** Where connections of HTTPS come in: another one than the public port for an environment's proxy. */
  readonly tlsListenPort: number | null;
  readonly tlsDir: string | null;
  /** 127.0.0.1:healthPort answers 200 on /-/edge/health; null for none. */
  readonly healthPort: number | null;
  readonly socketPath: string;
  readonly pidFile: string;
  readonly mapFile: string;
  readonly sourcesFile: string;
  /** Null for an environment's proxy: it opens all that comes, and passes nothing on. */
  readonly namesFile: string | null;
  /** Of an environment's proxy: the edges, which say with the PROXY protocol whom they speak for; nobody else is let in. */
  readonly onlyFrom: readonly string[] | null;
  /** Threads, and how many file descriptors there may be: memory is set apart for each. */
  readonly size: { readonly threadsCount: number | null; readonly filesCount: number };
  /** Keys of `wantedOptions`. */
  readonly optionsFile: string;
  /** Load balancers that say with the PROXY protocol whom they speak for. */
  readonly trustedProxies: readonly string[];
  /** Whom the worker becomes; null when the proxy is not started by root. */
  readonly runAs: { readonly user: string; readonly group: string } | null;
  /** Log every request as one JSON line on stdout. */
  readonly accessLog: boolean;
}

/** The part that only a reload can change. Its digest is the description that `show info` prints. */
export function renderStatic(settings: EdgeSettings): string {
  return [
    ...[globalSection(settings), DEFAULTS, passing(settings), frontend(settings)],
    ...[once(settings), health(settings)],
  ]
    .filter((s) => s !== "")
    .join("\n");
}

/** @param configId names the static part and the number of slots; read back to know what is running */
export function renderConfig(settings: EdgeSettings, state: EdgeState, configId: string): string {
  const { servers } = wantedImage(state, settings);
  const backend = (name: string, rules: readonly string[]): string[] => [
    ...[`backend ${name}`, ...rules],
    ...(servers.get(name) ?? []).map((server) =>
      `  server ${server.name} ${endpointOf(server)} ${serverOptions(name, server)}`.trimEnd(),
    ),
  ];
  const passes = settings.namesFile === null || settings.tlsPort === null ? 0 : state.passSlots;
  const lines = [
    ...numbers(state.slots).flatMap((slot) => backend(slotName(slot), SLOT_RULES)),
    ...numbers(passes).flatMap((slot) => backend(passName(slot), PASS_RULES)),
  ];
  const head = "# Written by the Berth agent; changes are overwritten.";
  const text = renderStatic(settings).replace("  description berth-edge", `  description ${configId}`);
  return `${head}\n${text}\n${lines.join("\n")}\n`;
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** Of each backend that leads to an environment's own proxies: bytes, which nobody here can read. */
const PASS_RULES = [
  "  mode tcp",
  "  option allbackups",
  // Who opens them ends what is idle; none of what sites may ask for is longer.
  "  timeout tunnel 25h",
] as const;

export function renderMap(state: EdgeState): string {
  return [...wantedImage(state).hosts].map(([hostname, slot]) => `${hostname} ${slot}\n`).join("");
}

/** Lines of the map of sources: host names that are closed, and to whom they are open. */
export function renderSources(state: EdgeState): string {
  return [...wantedImage(state).sources]
    .flatMap(([hostname, cidrs]) => [...cidrs, ""].map((cidr) => `${sourceKey(hostname, cidr)} 1\n`))
    .join("");
}

/** All files that are made from the state but the configuration. */
export function renderFiles({ tlsDir }: EdgeSettings, state: EdgeState, tls: WantedTls) {
  const { options } = tls;
  const served = [...tls.certificates].flatMap(([name, certificate]) =>
    certificate === null || tlsDir === null
      ? []
      : [{ name, path: certificatePath(tlsDir, name), ...certificate }],
  );
  const { names } = wantedImage(state);
  return {
    names: [...names].map(([name, pass]) => `${name} ${pass}\n`).join(""),
    map: renderMap(state),
    sources: renderSources(state),
    options: [...options].map(([key, value]) => `${key} ${value}\n`).join(""),
    tls:
      tlsDir === null
        ? null
        : {
            dir: tlsDir,
            list: served.map(({ path, name }) => `${path} ${name}\n`).join(""),
            files: new Map(served.map(({ path, pem }) => [path, pem])),
          },
  };
}

function globalSection({ socketPath, pidFile, runAs, size }: EdgeSettings): string {
  const threads = size.threadsCount === null ? "" : `\n  nbthread ${size.threadsCount}`;
  const identity = runAs === null ? "" : `\n  user ${runAs.user}\n  group ${runAs.group}`;
  return `global
  description berth-edge
  master-worker${identity}${threads}
  pidfile ${pidFile}
  stats socket ${socketPath} mode 600 level admin expose-fd listeners
  stats timeout 30s
  log stdout len 4096 format raw local0 info
  # Maxconn follows from the file descriptors that the process may have; this bounds their number.
  fd-hard-limit ${size.filesCount}
  # A header block must fit into a buffer less the room kept for rewriting: about 14 KiB.
  tune.bufsize 16384
  tune.maxrewrite 2048
  tune.http.maxhdr 101
  hard-stop-after 15m
  # Without tickets every connection has keys of its own; TLS 1.2 with forward secrecy and authenticated ciphers alone.
  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
  ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20
`;
}

const DEFAULTS = `defaults
  mode http
  log global
  option dontlognull
  http-reuse safe
  option redispatch 1
  retries 5
  retry-on conn-failure empty-response
  balance leastconn
  # Header block within 10 s (slow senders); an idle client is let go after 60 s.
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout client 60s
  timeout connect 2500ms
  # An app may be silent for 120 s; a WebSocket for an hour. Sites may say otherwise.
  timeout server 120s
  timeout tunnel 1h
  timeout queue 10s
  # How long a half-closed connection may linger, also one whose session was ended by the drain's grace.
  timeout client-fin 3s
  timeout server-fin 3s
  timeout check 1500ms
  http-error status 502 content-type "text/html; charset=utf-8" string '${PAGES.badGateway}' hdr Cache-Control no-store
  http-error status 503 content-type "text/html; charset=utf-8" string '${PAGES.notReady}' hdr Cache-Control no-store hdr Retry-After 5
  http-error status 504 content-type "text/html; charset=utf-8" string '${PAGES.timeout}' hdr Cache-Control no-store
`;

const LOG_FORMAT = [
  '"time":%Ts%ms',
  '"event":"edge.request"',
  '"host":"%[var(txn.host),json(utf8s)]"',
  '"method":"%[var(txn.method),json(utf8s)]"',
  '"path":"%[var(txn.path),json(utf8s)]"',
  '"status":%ST',
  '"bytes":%B',
  '"ms":{"queue":%Tw,"connect":%Tc,"answer":%Tr,"total":%Ta}',
  '"server":"%b/%s"',
  '"retries":"%rc"',
  '"end":"%tsc"',
  '"client":"%ci"',
  '"requestId":"%[unique-id]"',
].join(",");

function frontend(settings: EdgeSettings): string {
  const { mapFile, sourcesFile, accessLog, tlsPort, optionsFile } = settings;
  return `frontend edge
${binds(settings)}${believed(settings)}  # A reload ends idle client connections with an answer, never between two requests.
  option idle-close-on-response
  unique-id-format %[uuid()]
  ${accessLog ? `log-format '{${LOG_FORMAT}}'` : "no log"}
  option http-restrict-req-hdr-names delete
  http-request set-var(txn.host) req.fhdr(host),field(1,:),lower,rtrim(.)
  http-request set-var(txn.method) method
  http-request set-var(txn.path) path,bytes(0,512)
  http-request deny deny_status 400 if { req.fhdr(host) -m found } !{ req.fhdr(host) -m reg -i ^[a-z0-9._-]+(:[0-9]{1,5})?$ }
  http-request deny deny_status 405 if { method CONNECT } or { method TRACE }
  # A connection is for the name that it was opened for: no certificate vouches for another one.
  http-request return status 421 content-type "text/html; charset=utf-8" string '${PAGES.misdirected}' hdr Cache-Control no-store if { ssl_fc } !{ ssl_fc_sni,lower,strcmp(txn.host) eq 0 }
  # The name itself, else the wildcard that covers it.
  http-request set-var(txn.site) var(txn.host)
  http-request set-var(txn.slot) var(txn.site),map_str(${mapFile})
  http-request set-var(txn.site) var(txn.host),regsub(^[^.]+,*) unless { var(txn.slot) -m found }
  http-request set-var(txn.slot) var(txn.site),map_str(${mapFile}) unless { var(txn.slot) -m found }
  http-request return status 404 content-type "text/html; charset=utf-8" string '${PAGES.unknownHost}' hdr Cache-Control no-store unless { var(txn.slot) -m found }
${tlsPort === null ? "" : challengeRules(optionsFile)}${sourceRules(sourcesFile)}
  http-request return status 503 content-type "text/html; charset=utf-8" string '${PAGES.maintenance}' hdr Cache-Control no-store hdr Retry-After 60 if { var(txn.slot) -m str ${MAINTENANCE} }
${tlsPort === null ? "" : httpsRules(optionsFile, tlsPort)}  http-request del-header ^(x-forwarded-.*|forwarded|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip|x-original-url|x-rewrite-url|x-host|proxy)$ -m reg
  http-request del-header upgrade if { req.fhdr(upgrade) -m found } !{ req.fhdr(upgrade) -i websocket }
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %[req.fhdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Request-Id %[unique-id]
  http-after-response set-header X-Request-Id %[unique-id]
  acl first http_first_req
  acl repeatable method GET HEAD OPTIONS
  acl with_body req.hdr(content-length) -m found
  acl with_body req.hdr(transfer-encoding) -m found
  http-request disable-l7-retry if first or !repeatable or with_body
${siteRules(optionsFile)}  # What barely fits would not fit with what the edge adds.
  acl fits req.hdrs,length lt 12288
  acl few req.fhdr_cnt lt 80
  use_backend ${ONCE} if !first !repeatable fits few or !first with_body fits few
  use_backend %[var(txn.slot)]
`;
}

/** Where requests come in: plain ones, and connections that are opened here. */
function binds(settings: EdgeSettings): string {
  const { bindAddress, port, tlsListenPort, tlsDir, namesFile } = settings;
  const plain = port === null ? "" : `  bind ${bindAddress}:${port}\n`;
  if (tlsListenPort === null || tlsDir === null) return plain;
  const where =
    namesFile === null ? `${bindAddress}:${tlsListenPort}` : `${innerSocket(settings, "tls")} accept-proxy`;
  return `${plain}  bind ${where} ssl crt-list ${listFile(tlsDir)} alpn h2,http/1.1 strict-sni\n`;
}

/** Whose word is taken for who the client is; and, where only they may come, that nobody else does. */
function believed({ trustedProxies, onlyFrom }: EdgeSettings): string {
  const expect = (sources: readonly string[]) =>
    sources.map((cidr) => `  tcp-request connection expect-proxy layer4 if { src ${cidr} }\n`).join("");
  if (onlyFrom === null) return expect(trustedProxies);
  return `  tcp-request connection reject unless { src ${onlyFrom.join(" ")} }\n${expect(onlyFrom)}`;
}

/**
 * Connections of HTTPS by the name in their first message: those of an environment with its own proxies go to them as
 * they are, all others are opened here, by the frontend behind a socket of this process.
 */
function passing(settings: EdgeSettings): string {
  const { bindAddress, tlsListenPort, tlsDir, namesFile } = settings;
  if (tlsListenPort === null || tlsDir === null || namesFile === null) return "";
  const look = (name: string, when: string): string =>
    `  tcp-request content set-var(sess.pass) ${name},map_str(${namesFile}) ${when}`;
  return `frontend names
  mode tcp
  bind ${bindAddress}:${tlsListenPort}
${believed(settings)}  no log
  tcp-request inspect-delay 10s
  tcp-request content reject if !{ req.ssl_hello_type 1 }
${look("req.ssl_sni,lower", "if { req.ssl_hello_type 1 }")}
${look("req.ssl_sni,lower,regsub(^[^.]+,*)", "if !{ var(sess.pass) -m found }")}
  use_backend %[var(sess.pass)] if { var(sess.pass) -m found }
  default_backend opened-here
backend opened-here
  mode tcp
  timeout tunnel 25h
  server self ${innerSocket(settings, "tls")} send-proxy-v2
`;
}

/** In the network namespace of the proxy; two proxies of one namespace have their own. */
function innerSocket({ pidFile }: EdgeSettings, use: "once" | "tls"): string {
  const own = createHash("sha256").update(pidFile).digest("hex").slice(0, 16);
  return `abns@berth-${use === "once" ? "" : `${use}-`}${own}`;
}

/** Makes a request the first one of a connection: then it gets a connection to its app that nobody used. */
function once(settings: EdgeSettings): string {
  const { optionsFile } = settings;
  const socket = innerSocket(settings, "once");
  return `backend ${ONCE}
  http-reuse never
  option http-server-close
${PASSED_ON.join("\n")}
  server self ${socket}
frontend ${ONCE}-again
  bind ${socket}
  no log
  http-request disable-l7-retry
${passedRules(optionsFile)}  use_backend %[var(txn.slot)]
`;
}

/** Before allow-lists and the way to HTTPS: the authority comes from anywhere, over plain HTTP. */
function challengeRules(optionsFile: string): string {
  const answer = `str(acme@),concat(,txn.site,/),concat(,txn.token),map_str(${optionsFile})`;
  return [
    "  http-request set-var(txn.token) path,field(4,/) if { path_beg /.well-known/acme-challenge/ }",
    `  http-request set-var(txn.challenge) ${answer} if { var(txn.token) -m found }`,
    `  http-request return status 200 content-type text/plain lf-string "%[var(txn.challenge)]" hdr Cache-Control no-store if { var(txn.challenge) -m found }`,
    "",
  ].join("\n");
}

function httpsRules(optionsFile: string, tlsPort: number): string {
  const port = tlsPort === 443 ? "" : `:${tlsPort}`;
  const option = (name: string): string => `str(${name}@),concat(,txn.site),map_str(${optionsFile})`;
  return [
    `  http-request set-var(txn.hsts) ${option("hsts")} if { ssl_fc }`,
    `  http-after-response set-header Strict-Transport-Security "max-age=%[var(txn.hsts)]" if { var(txn.hsts) -m found }`,
    `  http-request redirect location https://%[var(txn.host)]${port}%[pathq] code 308 if !{ ssl_fc } { ${option("https")} -m found }`,
    "",
  ].join("\n");
}

/**
 * A host name that is closed is open to sources of which some network is in the map: the address, cut at every length.
 * The source is the connection's own; what a header says of it counts for nothing. One ACL with a line per length: it is
 * looked at for closed host names only.
 */
function sourceRules(sourcesFile: string): string {
  const { shortest, longest } = SOURCE_BITS;
  const lengths = Array.from({ length: longest - shortest + 1 }, (_, n) => longest - n);
  return [
    `  acl closed str(@),concat(,txn.site),map_str(${sourcesFile}) -m found`,
    ...lengths.map(
      (bits) =>
        `  acl listed src,ipmask(${bits}),concat(/${bits}@,txn.site),map_str(${sourcesFile}) -m found`,
    ),
    `  http-request return status 403 content-type "text/html; charset=utf-8" string '${PAGES.notAllowed}' hdr Cache-Control no-store if closed !listed`,
  ].join("\n");
}

function health({ healthPort }: EdgeSettings): string {
  if (healthPort === null) return "";
  return `frontend health
  bind 127.0.0.1:${healthPort}
  no log
  http-request return status 200 content-type text/plain string ok if { path /-/edge/health }
  http-request return status 404
`;
}
