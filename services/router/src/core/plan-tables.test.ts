import type { RouteTable } from "@berth/shared/contracts/route.ts";
import type { CertificateId, EnvironmentId, HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fitTables } from "./fit-tables.ts";
import {
  type BackendRow,
  type DomainRow,
  type PlanTablesInput,
  type ProxyRow,
  planTables as planAll,
  type ServiceRow,
  type StoredTable,
} from "./plan-tables.ts";

const service = (environment: string, name: string): ServiceRow => ({
  environmentId: `env_${environment}` as EnvironmentId,
  serviceId: `svc_${environment}_${name}` as ServiceId,
  hostnameLabel: `${name}-${environment}`,
  domains: [],
  allow: null,
  sleepEpoch: null,
  maintenance: false,
  http: {},
});
const backend = (serviceId: ServiceId, n: number): BackendRow => ({
  serviceId,
  jobId: `job_${n}` as JobId,
  address: `10.210.0.${n}`,
  port: 8080,
});
const podDomain = "berth.localhost";
const planTables = (
  input: Omit<PlanTablesInput, "certificates" | "nowMs" | "proxies"> & Partial<PlanTablesInput>,
) => planAll({ certificates: [], proxies: [], nowMs: 1000, ...input });
const domain = (name: string, more: Partial<DomainRow> = {}): DomainRow => ({
  ...{ name, httpsOnly: false, hstsSeconds: null, challenge: null },
  ...more,
});

describe("planTables", () => {
  test("a service without a ready job keeps its site; the version starts at 1", () => {
    const shop = service("production", "shop");
    expect(planTables({ services: [shop], backends: [], stored: [], podDomain })).toEqual([
      {
        environmentId: "env_production",
        version: 1,
        sites: [{ hostname: "shop-production.berth.localhost", serviceId: shop.serviceId, backends: [] }],
      },
    ]);
  });

  test("options of HTTP go to each site, a redirect from a host name to that name's alone; equal ones make no version", () => {
    const http = {
      headers: { "x-frame-options": "DENY", "referrer-policy": "no-referrer" },
      redirects: [
        { from: "/old", to: "/new", status: 301 },
        { from: "www.shop.example", to: "https://shop.example", status: 308 },
        { from: "www.other.example", to: "https://shop.example", status: 308 },
      ],
    } as const;
    const shop = {
      ...service("production", "shop"),
      domains: [domain("shop.example"), domain("www.shop.example")],
      http: { ...http, redirects: [...http.redirects] },
    };
    const [table] = planTables({ services: [shop], backends: [], stored: [], podDomain });
    expect(table?.sites.map((site) => site.http?.redirects?.map(({ from }) => from))).toEqual([
      ...[["/old"], ["/old"], ["/old", "www.shop.example"]],
    ]);
    const turned = JSON.parse(JSON.stringify(table)) as StoredTable;
    for (const site of turned.sites)
      Object.assign(site, {
        http: {
          redirects: site.http?.redirects,
          headers: { "referrer-policy": "no-referrer", "x-frame-options": "DENY" },
        },
      });
    expect(planTables({ services: [shop], backends: [], stored: [turned], podDomain })).toEqual([]);
    const none = planTables({ services: [{ ...shop, http: {} }], backends: [], stored: [turned], podDomain });
    expect(none[0]?.sites.every((site) => site.http === undefined)).toBe(true);
  });

  test("a service's own domains are sites with the same backends", () => {
    const shop = {
      ...service("production", "shop"),
      domains: [domain("*.shop.example"), domain("shop.example")],
    };
    const backends = [backend(shop.serviceId, 1)];
    const [table] = planTables({ services: [shop], backends, stored: [], podDomain });
    expect(table?.sites).toMatchObject([
      { hostname: "*.shop.example", backends: [{ jobId: "job_1" }] },
      { hostname: "shop-production.berth.localhost", backends: [{ jobId: "job_1" }] },
      { hostname: "shop.example", backends: [{ jobId: "job_1" }] },
    ]);
  });

  test("HTTPS with a certificate only; a renewed one is a change", () => {
    const domains = [domain("shop.example", { httpsOnly: true, hstsSeconds: 60 })];
    const shop = { ...service("production", "shop"), domains };
    const certificate = (id: string) => ({
      ...{ id: id as CertificateId, environmentId: shop.environmentId, serviceId: null },
      ...{ isOrdered: false, names: ["shop.example"], notBeforeMs: 0, notAfterMs: 2000 },
    });
    const input = { services: [shop], backends: [], podDomain };
    const plain = planTables({ ...input, stored: [] });
    expect(plain[0]?.sites[1]).toEqual({ hostname: "shop.example", serviceId: shop.serviceId, backends: [] });
    const [first] = planTables({ ...input, certificates: [certificate("crt_1")], stored: plain });
    expect(first).toMatchObject({ version: 2 });
    expect(first?.sites[1]).toMatchObject({
      ...{ tls: { certificateId: "crt_1", name: "shop.example" }, httpsOnly: true, hstsSeconds: 60 },
    });
    const both = [certificate("crt_1"), certificate("crt_2")];
    const stored = first === undefined ? [] : [first];
    expect(planTables({ ...input, certificates: both, stored })).toMatchObject([
      { version: 3, sites: [{}, { tls: { certificateId: "crt_2" } }] },
    ]);
    expect(planTables({ ...input, certificates: [certificate("crt_1")], stored })).toEqual([]);
  });

  test("the environment's own certificate: proxies are named, and a name is passed on once all of them serve it", () => {
    const shop = { ...service("production", "shop"), domains: [domain("shop.example")] };
    const certificate = {
      ...{ id: "crt_1" as CertificateId, environmentId: shop.environmentId, serviceId: null },
      ...{ isOrdered: false, names: ["shop.example"], notBeforeMs: 0, notAfterMs: 2000 },
    };
    const proxy = (host: string, ...names: string[]): ProxyRow => ({
      ...{ environmentId: shop.environmentId, hostId: host as HostId, names },
      ...{ address: `10.210.0.${host.length}`, port: 8443 },
    });
    const input = { services: [shop], backends: [], certificates: [certificate], podDomain };
    const proxied = (tables: readonly RouteTable[]) => tables[0]?.sites.map(({ tls }) => tls?.proxied);
    const none = planTables({ ...input, stored: [] });
    expect(proxied(none)).toEqual([undefined, false]);
    expect(none[0]).not.toHaveProperty("proxies");
    const [b, a] = [proxy("hst_bb", "shop.example"), proxy("hst_a")];
    const one = planTables({ ...input, proxies: [b], stored: none });
    expect(proxied(one)).toEqual([undefined, true]);
    expect(proxied(planTables({ ...input, proxies: [b, a], stored: one }))).toEqual([undefined, false]);
    const both = planTables({ ...input, proxies: [b, proxy("hst_a", "shop.example")], stored: one });
    expect(both).toMatchObject([{ version: 3, proxies: [{ hostId: "hst_a" }, { hostId: "hst_bb" }] }]);
    expect(planTables({ ...input, proxies: [proxy("hst_a", "shop.example"), b], stored: both })).toEqual([]);
    const plain = planTables({ ...input, certificates: [], proxies: [b], stored: both });
    expect(plain[0]).not.toHaveProperty("proxies");
  });

  test("maintenance is part of a site, and its begin and end are changes; the backends stay", () => {
    const shop = service("production", "shop");
    const input = { services: [shop], backends: [backend(shop.serviceId, 1)], podDomain };
    const stored = planTables({ ...input, stored: [] });
    const off = { ...input, services: [{ ...shop, maintenance: true }] };
    const begun = planTables({ ...off, stored });
    expect(begun).toMatchObject([
      { version: 2, sites: [{ maintenance: true, backends: [{ jobId: "job_1" }] }] },
    ]);
    expect(planTables({ ...off, stored: begun })).toEqual([]);
    expect(planTables({ ...input, stored: begun })[0]?.sites[0]).not.toHaveProperty("maintenance");
  });

  test("a new version only when the content changed, also when jsonb turned the keys round", () => {
    const shop = service("production", "shop");
    const sites = [
      {
        backends: [{ port: 8080, address: "10.210.0.2", jobId: "job_2" as JobId }],
        serviceId: shop.serviceId,
        hostname: "shop-production.berth.localhost",
      },
    ];
    const stored: StoredTable[] = [{ environmentId: shop.environmentId, version: 7, sites }];
    const input = { services: [shop], stored, podDomain };
    expect(planTables({ ...input, backends: [backend(shop.serviceId, 2)] })).toEqual([]);
    expect(planTables({ ...input, backends: [backend(shop.serviceId, 3)] })[0]?.version).toBe(8);
  });

  test("an allow-list is part of the site, in a canonical order; another one is another version", () => {
    const shop = { ...service("production", "shop"), allow: ["203.0.113.0/24", "198.51.100.7/32"] };
    const made = planTables({ services: [shop], backends: [], stored: [], podDomain });
    expect(made[0]?.sites[0]?.allow).toEqual(["198.51.100.7/32", "203.0.113.0/24"]);
    const again = (allow: readonly string[] | null) =>
      planTables({ services: [{ ...shop, allow }], backends: [], stored: made, podDomain });
    expect(again(shop.allow.toReversed())).toEqual([]);
    expect(again(["203.0.113.0/24"])[0]?.version).toBe(2);
    expect(again(null)[0]?.sites[0]).not.toHaveProperty("allow");
  });

  test("an environment that is gone gets a table without sites, once", () => {
    const stored: StoredTable[] = [{ environmentId: "env_x" as EnvironmentId, version: 3, sites: [] }];
    const old = {
      ...stored[0],
      sites: [{ hostname: "a.x", serviceId: "svc_a" as ServiceId, backends: [] }],
    } as StoredTable;
    const nothing = { services: [], backends: [], podDomain };
    expect(planTables({ ...nothing, stored: [old] })).toEqual([
      { environmentId: "env_x", version: 4, sites: [] },
    ]);
    expect(planTables({ ...nothing, stored })).toEqual([]);
  });

  test("the order of rows does not matter, and what was planned is stable", () => {
    const services = [service("a", "one"), service("a", "two"), service("b", "one")];
    const backends = services.flatMap((s, i) => [
      backend(s.serviceId, i * 2),
      backend(s.serviceId, i * 2 + 1),
    ]);
    const reference = planTables({ services, backends, stored: [], podDomain });
    const shuffledServices = fc.shuffledSubarray(services, { minLength: 3 });
    const shuffledBackends = fc.shuffledSubarray(backends, { minLength: 6 });
    fc.assert(
      fc.property(shuffledServices, shuffledBackends, (s, b) => {
        expect(planTables({ services: s, backends: b, stored: [], podDomain })).toEqual(reference);
        expect(planTables({ services: s, backends: b, stored: reference, podDomain })).toEqual([]);
      }),
    );
  });
});

test("fitTables sends what is newer, as much as fits, and always at least one", () => {
  const tables = ["a", "b", "c"].map((id, i) => ({
    environmentId: `env_${id}`,
    version: i + 1,
    sites: [],
  })) as unknown as RouteTable[];
  expect(fitTables(tables, {}).map((t) => t.version)).toEqual([1, 2, 3]);
  expect(fitTables(tables, { env_a: 1, env_b: 1, env_c: 9 }).map((t) => t.environmentId)).toEqual(["env_b"]);
  expect(fitTables(tables, {}, 10)).toHaveLength(1);
});
