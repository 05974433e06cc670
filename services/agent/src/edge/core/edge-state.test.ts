import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { describe, expect, test } from "vitest";
import {
  EMPTY_STATE,
  forgetMissing,
  isHostname,
  MAINTENANCE,
  mergeTables,
  wantedImage,
} from "./edge-state.ts";
import { wantedCertificates } from "./edge-tls.ts";
import { serverOptions } from "./runtime-text.ts";

const table = (environmentId: string, version: number, ...hostnames: string[]): RouteTable =>
  ({
    environmentId,
    version,
    sites: hostnames.map((hostname) => ({ hostname, serviceId: "svc", backends: [] })),
  }) as unknown as RouteTable;

describe("mergeTables", () => {
  test("ignores a late version and takes an equal one again without complaint", () => {
    const first = mergeTables(EMPTY_STATE, [table("env_a", 3, "a.x")]);
    const late = mergeTables(first.state, [table("env_a", 2, "b.x")]);
    expect(late.refusals).toEqual([{ code: "older-version", environmentId: "env_a", version: 2, have: 3 }]);
    expect(late.state.hosts).toEqual(first.state.hosts);
    expect(mergeTables(first.state, [table("env_a", 3, "a.x")]).refusals).toEqual([]);
  });

  test("a host name stays with the environment that has it", () => {
    const first = mergeTables(EMPTY_STATE, [table("env_b", 1, "a.x")]).state;
    const taken = mergeTables(first, [table("env_a", 1, "a.x", "c.x")]);
    expect(taken.refusals).toEqual([
      { code: "hostname-taken", environmentId: "env_a", hostname: "a.x", by: "env_b" },
    ]);
    expect([...taken.incomplete]).toEqual(["env_a"]);
    expect(taken.state.hosts["a.x"]).toEqual({ environmentId: "env_b", slot: 0 });
    expect(taken.state.hosts["c.x"]).toEqual({ environmentId: "env_a", slot: 1 });
  });

  test("a given-up slot is not reused while it retires, and slots double when they run out", () => {
    const first = mergeTables({ ...EMPTY_STATE, slots: 2 }, [table("env_a", 1, "a.x", "b.x")]).state;
    const second = mergeTables(first, [table("env_a", 2, "b.x", "c.x")]).state;
    expect(second.hosts).toEqual({
      "b.x": { environmentId: "env_a", slot: 1 },
      "c.x": { environmentId: "env_a", slot: 2 },
    });
    expect(second.retiring).toEqual([0]);
    expect(second.slots).toBe(4);
  });

  test.each([
    "a b.x",
    "a;del map.x",
    "A.x",
    "a.x.",
    "a.x:80",
    "-a.x",
    "",
    "a_b.x",
    `${"a".repeat(64)}.x`,
    "a\n.x",
  ])("refuses the whole table for the host name %j and keeps the one it had", (hostname) => {
    const first = mergeTables(EMPTY_STATE, [table("env_a", 1, "a.x"), table("env_b", 1, "b.x")]).state;
    const bad = mergeTables(first, [table("env_a", 2, hostname), table("env_b", 2, "b.x", "c.x")]);
    expect(bad.refusals).toEqual([{ code: "bad-hostname", environmentId: "env_a", hostname }]);
    expect(bad.state.tables.env_a?.version).toBe(1);
    expect([...wantedImage(bad.state).hosts.keys()].sort()).toEqual(["a.x", "b.x", "c.x"]);
  });
});

test("a host name in maintenance is answered by the edge; its slot and servers stay for the end of it", () => {
  const backends = [{ jobId: "job_1", address: "10.0.0.2", port: 80 }];
  const state = mergeTables(EMPTY_STATE, [
    {
      ...table("env_a", 1),
      sites: [{ hostname: "a.x", serviceId: "svc", backends, maintenance: true }],
    } as unknown as RouteTable,
  ]).state;
  const { hosts, servers } = wantedImage(state);
  expect(hosts.get("a.x")).toBe(MAINTENANCE);
  expect(servers.get("slot_0")).toMatchObject([{ address: "10.0.0.2" }]);
});

test("forgetMissing drops what is not named, but nothing on an empty answer", () => {
  const state = mergeTables(EMPTY_STATE, [table("env_a", 1, "a.x"), table("env_b", 1, "b.x")]).state;
  expect(forgetMissing(state, new Set())).toBe(state);
  expect(Object.keys(forgetMissing(state, new Set(["env_b"])).hosts)).toEqual(["b.x"]);
});

test("isHostname", () => {
  expect(isHostname("shop-production.berth.localhost")).toBe(true);
  expect(isHostname("a..b")).toBe(false);
});

describe("names that are passed on", () => {
  const own = (environmentId: string, version: number, proxied: boolean, ...hosts: string[]): RouteTable =>
    ({
      ...{ environmentId, version },
      sites: [
        {
          ...{ hostname: `${environmentId.at(-1)}.x`, serviceId: "svc", backends: [] },
          tls: { certificateId: "crt", name: `${environmentId.at(-1)}.x`, proxied },
        },
      ],
      proxies: hosts.map((hostId, n) => ({ hostId, address: `10.0.0.${n + 2}`, port: 8443 })),
    }) as unknown as RouteTable;
  const place = { activatorSocket: null, hostId: "hst_1" };

  test("go to the environment's proxies once they serve them, the own host's first; an edge asks for no key of them", () => {
    const waiting = mergeTables(EMPTY_STATE, [own("env_a", 1, false, "hst_1")]).state;
    expect(wantedImage(waiting, place).names.size).toBe(0);
    const { state } = mergeTables(waiting, [own("env_a", 2, true, "hst_1", "hst_2")]);
    const { names, servers } = wantedImage(state, place);
    expect([...names]).toEqual([["a.x", "pass_0"]]);
    expect(servers.get("pass_0")?.map(({ name }) => name)).toEqual([
      "own-10.0.0.2-8443",
      "other-10.0.0.3-8443",
    ]);
    expect(serverOptions("pass_0", { name: "other-10.0.0.3-8443" })).toMatch(/send-proxy-v2 .* backup$/);
    expect(wantedCertificates(state).size).toBe(0);
  });

  test("a backend that was given up is nobody's until the proxy was seen without it; more of them come in twos", () => {
    const first = mergeTables({ ...EMPTY_STATE, passSlots: 1 }, [own("env_a", 1, true, "hst_1")]).state;
    const { state } = mergeTables(first, [own("env_a", 2, false), own("env_b", 1, true, "hst_1")]);
    expect(state).toMatchObject({ passes: { env_b: 1 }, retiringPasses: [0], passSlots: 2 });
  });
});
