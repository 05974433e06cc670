import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { describe, expect, test } from "vitest";
import { EMPTY_STATE, mergeTables } from "./edge-state.ts";
import { type EdgeCertificate, planTls, unservedTls, wantedTls } from "./edge-tls.ts";

const site = (hostname: string, id?: string, more = {}) => ({
  ...{ hostname, serviceId: "svc", backends: [] },
  ...(id === undefined ? {} : { tls: { certificateId: id, name: hostname } }),
  ...more,
});
const table = (environmentId: string, ...sites: object[]): RouteTable =>
  ({ environmentId, version: 1, sites }) as unknown as RouteTable;
const held = (fingerprint: string): EdgeCertificate => ({ pem: `PEM ${fingerprint}`, fingerprint });
const source = (id: string) => (id.startsWith("absent") ? undefined : held(`of ${id}`));
const stateOf = (...tables: RouteTable[]) => mergeTables(EMPTY_STATE, tables).state;

describe("planTls", () => {
  const state = stateOf(
    table(
      "env_a",
      site("a.x", "crt_1", { httpsOnly: true, hstsSeconds: 60 }),
      site("b.x"),
      site("c.x", "absent"),
    ),
  );
  const wanted = wantedTls(state, source);

  test("certificates come before what leads to them; what this host does not have yet is left alone", () => {
    const observed = { certificates: new Map([["c.x", "older"]]), options: new Map() };
    expect(planTls(observed, wanted, true)).toEqual({
      before: [{ kind: "set-certificate", name: "a.x", isNew: true }],
      after: [
        { kind: "set-option", key: "https@a.x", value: "1", isNew: true },
        { kind: "set-option", key: "hsts@a.x", value: "60", isNew: true },
      ],
    });
    expect([...unservedTls(state, observed, wanted, source)]).toEqual(["env_a"]);
  });

  test("what is no longer wanted goes after nobody is led there, and only when all tables are known", () => {
    const observed = {
      certificates: new Map([
        ["a.x", "another"],
        ["gone.x", "f"],
      ]),
      options: new Map([...wanted.options, ["https@gone.x", "1"]]),
    };
    expect(planTls(observed, wanted, true)).toEqual({
      before: [
        { kind: "set-certificate", name: "a.x", isNew: false },
        { kind: "remove-option", key: "https@gone.x" },
      ],
      after: [{ kind: "remove-certificate", name: "gone.x" }],
    });
    expect(planTls(observed, wanted, false).after).toEqual([]);
  });
});

test("a table is served when each of its certificates is, and without HTTPS when there is none to serve", () => {
  const state = stateOf(table("env_a", site("a.x", "crt_1")), table("env_b", site("b.x", "absent")));
  const wanted = wantedTls(state, source);
  const observed = { certificates: new Map([["a.x", "of crt_1"]]), options: new Map() };
  expect([...unservedTls(state, observed, wanted, source)]).toEqual(["env_b"]);
  const none = { certificates: new Map(), options: new Map() };
  expect([...unservedTls(state, none, wantedTls(state, null), null)]).toEqual([]);
});

test("the newest certificate of a wildcard that tables share is served, and a foreign name refuses the table", () => {
  const wide = (id: string) => ({ tls: { certificateId: id, name: "*.x" } });
  const state = stateOf(
    table("env_a", site("a.x", undefined, wide("crt_2"))),
    table("env_b", site("b.x", undefined, wide("crt_1"))),
  );
  expect([...wantedTls(state, source).certificates]).toEqual([["*.x", held("of crt_2")]]);
  const foreign = mergeTables(EMPTY_STATE, [
    table("env_a", site("a.x", undefined, { tls: { certificateId: "crt_1", name: "b.x" } })),
  ]);
  expect(foreign.refusals).toMatchObject([{ code: "bad-certificate-name", hostname: "a.x" }]);
});

test("HTTPS that ends in the environment's proxies: the edge waits for no certificate, and leads nobody there too early", () => {
  const own = (proxied: boolean) => ({
    ...{ httpsOnly: true, hstsSeconds: 60 },
    tls: { certificateId: "absent", name: "a.x", proxied },
  });
  const optionsOf = (proxied: boolean) => {
    const state = stateOf(table("env_a", site("a.x", undefined, own(proxied))));
    const wanted = wantedTls(state, source);
    expect([...wanted.certificates]).toEqual([]);
    const observed = { certificates: new Map(), options: wanted.options };
    expect([...unservedTls(state, observed, wanted, source)]).toEqual([]);
    return [...wanted.options.keys()];
  };
  expect(optionsOf(false)).toEqual([]);
  expect(optionsOf(true)).toEqual(["https@a.x", "hsts@a.x"]);
});
