/**
 * From stored services and jobs to route tables.
 *
 * Pure. The order of the rows does not matter: sites are sorted by host name and backends by job, so that equal
 * tables are equal text. A service without a ready job keeps its site without backends: its edge answers 503
 * (not yet), while an unknown host name answers 404. An environment whose services are gone gets a table without
 * sites: what is not mentioned is never taken away.
 */

import type { AcmeChallenge, RouteProxy, RouteSite, RouteTable } from "@berth/shared/contracts/route.ts";
import type { HttpOptions } from "@berth/shared/domain/http-options.ts";
import type { EnvironmentId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import { type CertificateRow, chooseCertificate, podCertificate } from "./choose-certificate.ts";

export interface ServiceRow {
  readonly environmentId: EnvironmentId;
  readonly serviceId: ServiceId;
  readonly hostnameLabel: string;
  /** Custom domains that it was seen to own. */
  readonly domains: readonly DomainRow[];
  /** Source networks that may reach it; null: everybody. */
  readonly allow: readonly string[] | null;
  /** Its newest sleep while it falls asleep, sleeps or wakes; else null. */
  readonly sleepEpoch: number | null;
  readonly maintenance: boolean;
  readonly http: HttpOptions;
}

export interface DomainRow {
  readonly name: string;
  readonly httpsOnly: boolean;
  readonly hstsSeconds: number | null;
  /** While a certificate is ordered. */
  readonly challenge: AcmeChallenge | null;
}

/** A job that may get traffic: web, running, ready and in rotation, with an address. */
export interface BackendRow {
  readonly serviceId: ServiceId;
  readonly jobId: JobId;
  readonly address: string;
  readonly port: number;
}

/** A host's proxy of an environment, as the host told. */
export interface ProxyRow extends RouteProxy {
  readonly environmentId: EnvironmentId;
  /** Host names that it serves over HTTPS. */
  readonly names: readonly string[];
}

export interface StoredTable {
  readonly environmentId: EnvironmentId;
  readonly version: number;
  readonly sites: readonly RouteSite[];
  readonly proxies?: readonly RouteProxy[] | undefined;
}

export interface PlanTablesInput {
  readonly services: readonly ServiceRow[];
  readonly backends: readonly BackendRow[];
  readonly proxies: readonly ProxyRow[];
  readonly stored: readonly StoredTable[];
  readonly certificates: readonly CertificateRow[];
  readonly podDomain: string;
  readonly nowMs: number;
}

/** @returns only the tables that differ from the stored ones, each with the next version */
export function planTables(input: PlanTablesInput): RouteTable[] {
  const wanted = wantedSites(input);
  const stored = new Map(input.stored.map((table) => [table.environmentId, table]));
  const proxies = Map.groupBy(input.proxies, (proxy) => proxy.environmentId);
  const changed: RouteTable[] = [];
  for (const environmentId of [...new Set([...wanted.keys(), ...stored.keys()])].sort()) {
    const content = withProxies(wanted.get(environmentId) ?? [], proxies.get(environmentId) ?? []);
    const have = stored.get(environmentId);
    if (have !== undefined && sameContent(have, content)) continue;
    changed.push({ environmentId, version: (have?.version ?? 0) + 1, ...content });
  }
  return changed;
}

type TableContent = Pick<RouteTable, "sites" | "proxies">;

/**
 * Proxies are named while a site needs them. A name is passed on once all of them serve it, so whichever an edge chooses
 * does; and nobody is led to HTTPS before that.
 */
function withProxies(sites: RouteSite[], rows: readonly ProxyRow[]): TableContent {
  if (sites.every(({ tls }) => tls?.proxied === undefined)) return { sites };
  const own = sites.map((site): RouteSite => {
    const { tls } = site;
    if (tls?.proxied === undefined) return site;
    const proxied = rows.length > 0 && rows.every(({ names }) => names.includes(tls.name));
    return { ...site, tls: { ...tls, proxied } };
  });
  const proxies = rows
    .map(({ hostId, address, port }) => ({ hostId, address, port }))
    .sort((a, b) => compare(a.hostId, b.hostId));
  return proxies.length === 0 ? { sites: own } : { sites: own, proxies };
}

function wantedSites(input: PlanTablesInput): Map<EnvironmentId, RouteSite[]> {
  const { services, backends } = input;
  const byService = Map.groupBy(backends, (backend) => backend.serviceId);
  const byEnvironment = Map.groupBy(services, (service) => service.environmentId);
  const wanted = new Map<EnvironmentId, RouteSite[]>();
  for (const [environmentId, rows] of byEnvironment) {
    const sites = rows.flatMap((service) => sitesOf(service, byService.get(service.serviceId) ?? [], input));
    wanted.set(
      environmentId,
      sites.sort((a, b) => compare(a.hostname, b.hostname)),
    );
  }
  return wanted;
}

/** One site for its name under the pod's domain, and one for each of its own domains. */
function sitesOf(service: ServiceRow, rows: readonly BackendRow[], input: PlanTablesInput): RouteSite[] {
  const { serviceId, allow, maintenance, sleepEpoch } = service;
  const common = {
    serviceId,
    backends: rows
      .map(({ jobId, address, port }) => ({ jobId, address, port }))
      .sort((a, b) => compare(a.jobId, b.jobId)),
    ...(allow === null ? {} : { allow: allow.toSorted(compare) }),
    ...(sleepEpoch === null ? {} : { sleep: { epoch: sleepEpoch } }),
    ...(maintenance ? { maintenance } : {}),
  };
  const hostname = `${service.hostnameLabel}.${input.podDomain}`.toLowerCase();
  const tls = podCertificate(hostname, input.certificates);
  return [
    { hostname, ...common, ...httpOf(hostname, service), ...(tls === undefined ? {} : { tls }) },
    ...service.domains.map((domain) => ({
      hostname: domain.name,
      ...common,
      ...httpOf(domain.name, service),
      ...httpsOf(domain, service, input),
      ...(domain.challenge === null ? {} : { challenge: domain.challenge }),
    })),
  ];
}

/** A redirect from a host name concerns the site of that name alone: nobody redirects names that are not theirs. */
function httpOf(hostname: string, { http }: ServiceRow): Pick<RouteSite, "http"> {
  const { redirects = [], ...rest } = http;
  const own = redirects.filter(({ from }) => from.startsWith("/") || from === hostname);
  const options = { ...rest, ...(own.length === 0 ? {} : { redirects: own }) };
  return Object.keys(options).length === 0 ? {} : { http: options };
}

/** Without a certificate nobody is led to HTTPS, which would not answer. */
function httpsOf(
  { name, httpsOnly, hstsSeconds }: DomainRow,
  service: ServiceRow,
  { certificates, nowMs }: PlanTablesInput,
): Pick<RouteSite, "tls" | "httpsOnly" | "hstsSeconds"> {
  const certificate = chooseCertificate(name, service, certificates, nowMs);
  if (certificate === undefined) return {};
  return {
    tls: { certificateId: certificate.id, name, proxied: false },
    ...(httpsOnly ? { httpsOnly } : {}),
    ...(hstsSeconds === null ? {} : { hstsSeconds }),
  };
}

export function sameContent(
  a: Pick<StoredTable, "sites" | "proxies">,
  b: Pick<StoredTable, "sites" | "proxies">,
): boolean {
  return sameProxies(a, b) && sameSites(a.sites, b.sites);
}

function sameProxies(
  { proxies: a = [] }: Pick<StoredTable, "proxies">,
  b: Pick<StoredTable, "proxies">,
): boolean {
  const text = (all: readonly RouteProxy[]) =>
    all.map(({ hostId, address, port }) => `${hostId} ${address} ${port}`).join();
  return text(a) === text(b.proxies ?? []);
}

export function sameSites(a: readonly RouteSite[], b: readonly RouteSite[]): boolean {
  return canonical(a) === canonical(b);
}

/** Key order must not matter: what comes out of jsonb is ordered by the database. */
function canonical(sites: readonly RouteSite[]): string {
  return JSON.stringify(
    sites.map(
      ({ hostname, serviceId, backends, allow = null, maintenance = false, sleep, http, ...https }) => [
        hostname,
        serviceId,
        allow,
        sleep?.epoch ?? null,
        backends.map(({ jobId, address, port }) => [jobId, address, port]),
        maintenance,
        [https.tls?.certificateId ?? null, https.tls?.name ?? null, https.tls?.proxied ?? null],
        [https.httpsOnly ?? false, https.hstsSeconds ?? null],
        https.challenge?.keyAuthorization ?? null,
        ordered(http ?? null),
      ],
    ),
  );
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .toSorted(([a], [b]) => compare(a, b))
    .map(([key, inner]) => [key, ordered(inner)]);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
