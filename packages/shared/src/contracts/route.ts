/**
 * Routes.  scheduler ─RotationChanged─▶ router ─RouteTableChanged─▶ agent's edge ─RouteApplied─▶ router
 *          router ─RouteAcknowledged─▶ scheduler     router ─FirstResponse─▶ git, api
 */
import { z } from "zod";
import { HttpOptions } from "../domain/http-options.ts";
import { CertificateId, DeployId, EnvironmentId, HostId, JobId, ServiceId } from "../domain/ids.ts";
import { defineEvent, defineRequest, defineSignal } from "./event.ts";

const Base64Url = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/);

export const AcmeChallenge = z.strictObject({
  token: Base64Url,
  keyAuthorization: z.string().regex(/^[A-Za-z0-9_-]{1,128}\.[A-Za-z0-9_-]{1,128}$/),
});
export type AcmeChallenge = z.infer<typeof AcmeChallenge>;

export const RouteSite = z.strictObject({
  /** Lower-case host name, such as `shop-production.berth.localhost`, or `*.` before one: what it covers is served. */
  hostname: z.string().max(253),
  serviceId: ServiceId,
  backends: z
    .array(z.strictObject({ jobId: JobId, address: z.ipv4(), port: z.int().min(1).max(65_535) }))
    .max(500),
  /** Source networks that may reach it; absent: everybody. */
  allow: z.array(z.cidrv4()).min(1).max(100).optional(),
  /**
   * Set while the service sleeps, falls asleep or wakes: edges send its requests to their host's activator, and the
   * backends are those that the activator may connect to already.
   */
  sleep: z.strictObject({ epoch: z.int().min(1) }).optional(),
  /**
   * What HTTPS is served with. `name` is what clients ask for: the host name, or the wildcard that covers it. `proxied` is
   * there when the certificate is the environment's own: HTTPS ends in its proxies, never in an edge. It is true once all of them
   * were seen to serve the name: edges pass it on to them.
   */
  tls: z
    .strictObject({
      certificateId: CertificateId,
      name: z.string().max(253),
      proxied: z.boolean().optional(),
    })
    .optional(),
  /** Plain HTTP is led to HTTPS. */
  httpsOnly: z.literal(true).optional(),
  /** Browsers are told to use HTTPS alone for so long. */
  hstsSeconds: z.int().min(0).max(63_072_000).optional(),
  /** What edges answer over plain HTTP while an authority looks who has the name (ACME, RFC 8555, HTTP-01). */
  challenge: AcmeChallenge.optional(),
  /** Edges answer 503 themselves; the backends stay known, so that the end of it is at once. */
  maintenance: z.literal(true).optional(),
  /** How edges treat its requests; of redirects only those that concern this host name. */
  http: HttpOptions.optional(),
});
export type RouteSite = z.infer<typeof RouteSite>;

/** Where a host's proxy of an environment takes connections of edges. */
export const RouteProxy = z.strictObject({
  hostId: HostId,
  address: z.ipv4(),
  port: z.int().min(1).max(65_535),
});
export type RouteProxy = z.infer<typeof RouteProxy>;

/** What a host says of its proxy of an environment: it was seen to serve these names with the newest table's certificates. */
export const ProxyReport = RouteProxy.omit({ hostId: true }).extend({
  names: z.array(z.string().max(253)).max(500),
});
export type ProxyReport = z.infer<typeof ProxyReport>;

/** An environment's whole table. A higher version replaces a lower one; equal versions are equal tables. */
export const RouteTable = z.strictObject({
  environmentId: EnvironmentId,
  version: z.int().min(1),
  sites: z.array(RouteSite).max(500),
  /** The environment's own proxies, one per host at most. */
  proxies: z.array(RouteProxy).max(256).optional(),
});
export type RouteTable = z.infer<typeof RouteTable>;

export const RotationChanged = defineSignal({
  name: "RotationChanged",
  subject: "berth.v1.rotation.{serviceId}.changed",
  emittedBy: ["scheduler"],
  consumedBy: ["router"],
  about:
    "Jobs of a service came into rotation or left it (committed): a wake-up, the router reads scheduler.jobs.",
  payload: z.strictObject({ serviceId: ServiceId }),
});

export const RouteTableChanged = defineSignal({
  name: "RouteTableChanged",
  subject: "berth.v1.routes.{environmentId}.changed",
  emittedBy: ["router"],
  consumedBy: ["agent"],
  about: "A new version of an environment's route table; repeated to hosts whose acknowledgement is behind.",
  payload: z.strictObject({ environmentId: EnvironmentId, table: RouteTable }),
});

export const GetRouteTables = defineRequest({
  name: "GetRouteTables",
  subject: "berth.v1.routes.get.{hostId}",
  emittedBy: ["agent"],
  consumedBy: ["router"],
  about:
    "A host asks for all tables at its start and every 10 s, and says which proxies of environments it has; `whole` lets it drop environments that are gone.",
  payload: z.strictObject({
    hostId: HostId,
    known: z.record(z.string(), z.int().min(0)),
    /** Environment → this host's proxy of it. All of them; absent: nothing is said. */
    proxies: z.record(EnvironmentId, ProxyReport).optional(),
  }),
  reply: z.strictObject({
    whole: z.boolean(),
    /** Every environment that has a table, with its version. */
    versions: z.record(z.string(), z.int().min(1)),
    /** The tables that are newer than `known`. */
    tables: z.array(RouteTable).max(1000),
  }),
  timeoutMs: 3000,
});

export const RouteApplied = defineSignal({
  name: "RouteApplied",
  subject: "berth.v1.route.{hostId}.applied",
  emittedBy: ["agent"],
  consumedBy: ["router"],
  about:
    "A host's edge serves this version of an environment's table: read back from the proxy, not assumed. Its heartbeat says it again.",
  payload: z.strictObject({
    hostId: HostId,
    environmentId: EnvironmentId,
    version: z.int().min(1),
    atMs: z.number(),
  }),
});

export const RouteAcknowledged = defineEvent({
  name: "RouteAcknowledged",
  subject: "berth.v1.route.all.{environmentId}.acknowledged",
  stream: "ROUTE",
  emittedBy: ["router"],
  consumedBy: ["scheduler"],
  about:
    "Every live host's edge serves this version: a wake-up for the scheduler, which reads router.route_tables.",
  payload: z.strictObject({ environmentId: EnvironmentId, version: z.int().min(1) }),
  dedupeId: ({ environmentId, version }) => `${environmentId}.${version}.acknowledged`,
});

export const FirstResponse = defineEvent({
  name: "FirstResponse",
  subject: "berth.v1.route.first.{serviceId}.answered",
  stream: "ROUTE",
  emittedBy: ["router"],
  consumedBy: ["git", "api"],
  about: "The first answer of a deploy's URL through an edge after its routes were acknowledged.",
  payload: z.strictObject({
    deployId: DeployId,
    serviceId: ServiceId,
    hostname: z.string().max(253),
    /** HTTP status, or 0 when nothing answered within the deadline. */
    status: z.int().min(0).max(999),
    startedAtMs: z.number(),
    endedAtMs: z.number(),
  }),
  dedupeId: ({ deployId }) => `${deployId}.first-response`,
});
