import type { RouteSite } from "@berth/shared/contracts/route.ts";
import { HttpOptions } from "@berth/shared/domain/http-options.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import { EMPTY_STATE, mergeTables } from "./edge-state.ts";
import { unservedTls, wantedTls } from "./edge-tls.ts";
import { siteOptions } from "./site-options.ts";

const site = (http?: object): RouteSite =>
  ({
    hostname: "a.example",
    serviceId: "svc",
    backends: [{ jobId: "job_1", address: "10.0.0.1", port: 80 }],
    ...(http === undefined ? {} : { http }),
  }) as unknown as RouteSite;

test("a site without options has no entry; sticky ones are named by digests alone", () => {
  expect([...siteOptions(site())]).toEqual([]);
  expect([...siteOptions(site({}))]).toEqual([]);
  const sticky = siteOptions(site({ sticky: true }));
  expect(sticky.get("sticky@a.example")).toBe("1");
  const [key = "", server] = [...sticky].find(([one]) => one.startsWith("instance@")) ?? [];
  expect(key).toMatch(/^instance@a\.example\/[0-9A-F]{40}$/);
  expect(server).toBe("job_1-10.0.0.1-80");
});

test("redirects say how much of the request goes on", () => {
  const redirects = [
    { from: "a.example", to: "https://b.example", status: 308 },
    { from: "/a", to: "/b", status: 301 },
    { from: "/c/*", to: "/d?x=1", status: 307 },
  ];
  const kinds = [...siteOptions(site({ redirects }))].map(([key, value]) => [key, value.split(":")[2]]);
  expect(kinds).toEqual([
    ["any@a.example", undefined],
    ["go@a.example", "path"],
    ["go@a.example/a", "query"],
    ["go-below@a.example/c/", "none"],
  ]);
});

/** What the schema lets through, whoever wrote it. */
const accepted = fc
  .record({
    redirects: fc.array(
      fc.record({
        from: fc.oneof(fc.string({ unit: "binary" }), fc.webPath()).map((text) => `/${text}`),
        to: fc.oneof(
          fc.webUrl({ withQueryParameters: true, withFragments: true }),
          fc.string({ unit: "binary" }),
        ),
        status: fc.constantFrom(301, 302, 307, 308),
      }),
      { maxLength: 3 },
    ),
    headers: fc.record({ "x-frame-options": fc.string({ unit: "binary" }) }),
    origins: fc.array(fc.oneof(fc.webUrl(), fc.string(), fc.constant("https://a.example")), { maxLength: 2 }),
  })
  .map(({ redirects, headers, origins }) => {
    const one = (given: object) => (HttpOptions.safeParse(given).success ? given : {});
    const cors = { origins, methods: ["GET"], headers: ["X-A"], credentials: false, maxAgeSeconds: 1 };
    return Object.assign(
      {},
      one({ headers }),
      one({ cors }),
      ...redirects.map((each) => one({ redirects: [each] })),
    );
  });

test("no entry is more than one word for the proxy, and none is another host name's", () => {
  fc.assert(
    fc.property(accepted, (http) => {
      for (const [key, value] of siteOptions(site(http))) {
        expect(key).toMatch(/^[a-z-]+@a\.example(\/[!-:=-[\]-~]*)?$/);
        expect(key).not.toMatch(/[;'"\\<>]/);
        expect(value).toMatch(/^[A-Za-z0-9_.,:/*-]+$/);
      }
    }),
    { numRuns: 2000 },
  );
});

test("a table counts as served when each of its options is, and nothing more", () => {
  const http = { sticky: true, redirects: [{ from: "/a", to: "/b", status: 301 }] };
  const table = { environmentId: "env_a", version: 1, sites: [site(http)] };
  const { state } = mergeTables(EMPTY_STATE, [table as never]);
  const wanted = wantedTls(state, null);
  const unserved = (options: ReadonlyMap<string, string>) =>
    [...unservedTls(state, { certificates: new Map(), options }, wanted, null)].length;
  expect(unserved(wanted.options)).toBe(0);
  for (const key of wanted.options.keys())
    expect(unserved(new Map([...wanted.options].filter(([one]) => one !== key))), key).toBe(1);
  expect(unserved(new Map([...wanted.options, ["go@a.example/gone", "1"]]))).toBe(1);
  expect(unserved(new Map([...wanted.options, ["acme@a.example/token", "1"], ["go@b.example/x", "1"]]))).toBe(
    0,
  );
});

test("options that the schema refuses stop their table at the edge's door", () => {
  const table = {
    environmentId: "env_a",
    version: 1,
    sites: [site({ headers: { "x-frame-options": "a\nb" } })],
  };
  expect(mergeTables(EMPTY_STATE, [table as never]).refusals).toEqual([
    { code: "bad-options", environmentId: "env_a", hostname: "a.example" },
  ]);
});
