/**
 * For any sequence of tables, with late and repeated ones between: the simulated proxy ends as wanted, and no
 * single step takes the last ready server from a host name that has one before and after.
 */
import type { RouteTable } from "@berth/shared/contracts/route.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type EdgeState, EMPTY_STATE, mergeTables, slotName, wantedImage } from "./edge-state.ts";
import { type ObservedImage, type ObservedServer, planSteps, type Step } from "./plan-steps.ts";

const environmentIds = ["env_a", "env_b", "env_c"];

const tableOf = fc
  .record({
    environment: fc.nat(2),
    version: fc.integer({ min: 1, max: 12 }),
    sites: fc.uniqueArray(
      fc.record({
        name: fc.nat(5),
        jobs: fc.uniqueArray(fc.nat(6), { maxLength: 4 }),
        sources: fc.uniqueArray(fc.nat(3), { maxLength: 3 }),
      }),
      {
        selector: (site) => site.name,
        maxLength: 5,
      },
    ),
  })
  .map(({ environment, version, sites }) => ({
    environmentId: environmentIds[environment],
    version,
    sites: sites.map(({ name, jobs, sources }) => ({
      hostname: `app-${name}.berth.localhost`,
      serviceId: "svc_x",
      ...(sources.length === 0 ? {} : { allow: sources.map((n) => `203.0.113.${n}/32`) }),
      backends: jobs.map((job) => ({ jobId: `job_${job}`, address: `10.210.1.${job + 2}`, port: 8080 })),
    })),
  })) as unknown as fc.Arbitrary<RouteTable>;

/** A proxy in memory; it asserts what the real one refuses. */
class SimulatedProxy {
  readonly hosts = new Map<string, string>();
  readonly servers = new Map<string, ObservedServer>();

  /** Servers whose connections do not end refuse to be removed. */
  busy: (key: string) => boolean = () => false;

  readonly sources = new Map<string, { isClosed: boolean; cidrs: Set<string> }>();
  readonly names = new Map<string, string>();

  image(): ObservedImage {
    const lists = [...this.sources].filter(([, { isClosed, cidrs }]) => isClosed || cidrs.size > 0);
    const sources = lists.map(
      ([name, { isClosed, cidrs }]) => [name, { isClosed, cidrs: new Set(cidrs) }] as const,
    );
    return {
      ...{ hosts: new Map(this.hosts), servers: [...this.servers.values()], sources: new Map(sources) },
      names: new Map(this.names),
    };
  }

  readyOf(hostname: string): string[] {
    const slot = this.hosts.get(hostname);
    return [...this.servers.values()]
      .filter((s) => s.slot === slot && s.admin === "ready")
      .map((s) => s.name);
  }

  run(step: Step): void {
    switch (step.kind) {
      case "add-server": {
        const key = `${step.slot}/${step.server.name}`;
        expect(this.servers.has(key)).toBe(false);
        this.servers.set(key, {
          slot: step.slot,
          ...step.server,
          port: step.server.port ?? 0,
          admin: "ready",
        });
        return;
      }
      case "ready-server":
        this.#admin(step.slot, step.name, "ready");
        return;
      case "drain-server":
        this.#admin(step.slot, step.name, "drain");
        return;
      case "remove-server":
        expect(this.servers.get(`${step.slot}/${step.name}`)?.admin).not.toBe("ready");
        if (!this.busy(`${step.slot}/${step.name}`)) this.servers.delete(`${step.slot}/${step.name}`);
        return;
      case "pass-name":
        expect(this.names.has(step.name)).toBe(!step.isNew);
        expect([...this.servers.values()].some((s) => s.slot === step.pass && s.admin === "ready")).toBe(
          true,
        );
        this.names.set(step.name, step.pass);
        return;
      case "open-name":
        this.names.delete(step.name);
        return;
      case "add-host":
        expect(this.hosts.has(step.hostname)).toBe(false);
        this.hosts.set(step.hostname, step.slot);
        return;
      case "move-host":
        expect(this.hosts.has(step.hostname)).toBe(true);
        this.hosts.set(step.hostname, step.slot);
        return;
      case "remove-host":
        this.hosts.delete(step.hostname);
        return;
      case "allow-source":
        this.#list(step.hostname).cidrs.add(step.cidr);
        return;
      case "refuse-source":
        this.#list(step.hostname).cidrs.delete(step.cidr);
        return;
      case "close-host":
        this.#list(step.hostname).isClosed = true;
        return;
      case "open-host":
        this.#list(step.hostname).isClosed = false;
    }
  }

  #list(hostname: string): { isClosed: boolean; cidrs: Set<string> } {
    const list = this.sources.get(hostname) ?? { isClosed: false, cidrs: new Set() };
    this.sources.set(hostname, list);
    return list;
  }

  /** Whether a request from 203.0.113.n would be passed on. */
  passes(hostname: string, n: number): boolean {
    const { isClosed, cidrs } = this.#list(hostname);
    return this.hosts.has(hostname) && (!isClosed || cidrs.has(`203.0.113.${n}/32`));
  }

  #admin(slot: string, name: string, admin: ObservedServer["admin"]): void {
    const server = this.servers.get(`${slot}/${name}`);
    if (server === undefined) throw new Error(`no server ${slot}/${name}`);
    this.servers.set(`${slot}/${name}`, { ...server, admin });
  }
}

const noDrains = new Map<string, number>();
const plan = (observed: ObservedImage, state: EdgeState): Step[] =>
  planSteps({
    observed,
    wanted: wantedImage(state),
    nowMs: 0,
    drainingSinceMs: noDrains,
    drainGraceMs: 1000,
    mayRemoveUnknown: true,
  });

function converge(proxy: SimulatedProxy, state: EdgeState, busy: boolean): void {
  proxy.busy = (key) => busy && /job_[024]-/.test(key);
  const wanted = wantedImage(state);
  const safe = [...wanted.hosts.keys()].filter((host) => {
    const names = new Set((wanted.servers.get(wanted.hosts.get(host) ?? "") ?? []).map(({ name }) => name));
    return names.size > 0 && proxy.readyOf(host).length > 0;
  });
  // Of host names that stay where they are: who may pass before and after may in between, who may not never does.
  const mayPass = (host: string, n: number) => wanted.sources.get(host)?.has(`203.0.113.${n}/32`) !== false;
  const constant = [...wanted.hosts]
    .filter(([host, slot]) => [undefined, slot].includes(proxy.hosts.get(host)))
    .flatMap(([host]) => [0, 1, 2, 3].map((n) => ({ host, n, passes: proxy.passes(host, n) })))
    .filter(({ host, n, passes }) => passes === mayPass(host, n));
  for (let round = 0; round < 4; round++) {
    const steps = plan(proxy.image(), state);
    for (const step of steps) {
      proxy.run(step);
      for (const { host, n, passes } of constant)
        expect(proxy.passes(host, n), `${host} from ${n} after ${step.kind}`).toBe(passes);
      for (const host of safe) expect(proxy.readyOf(host), `${host} after ${step.kind}`).not.toHaveLength(0);
    }
  }
}

function expectEqual(proxy: SimulatedProxy, state: EdgeState): void {
  const wanted = wantedImage(state);
  expect(proxy.hosts).toEqual(wanted.hosts);
  const closed = [...proxy.image().sources].filter(([, { isClosed }]) => isClosed);
  expect(new Map(closed.map(([host, { cidrs }]) => [host, cidrs]))).toEqual(wanted.sources);
  for (const [host, slot] of wanted.hosts) {
    const names = (wanted.servers.get(slot) ?? []).map(({ name }) => name).sort();
    expect(proxy.readyOf(host).sort()).toEqual(names);
  }
}

/** What `edge.ts` does after a round: a slot is free again when the proxy holds nothing in it. */
function release(state: EdgeState, proxy: SimulatedProxy): EdgeState {
  const busy = new Set([...[...proxy.servers.values()].map(({ slot }) => slot), ...proxy.hosts.values()]);
  return { ...state, retiring: state.retiring.filter((slot) => busy.has(slotName(slot))) };
}

describe("edge core, any sequence of tables", () => {
  test("ends as wanted and never leaves a host name without its ready servers", () => {
    const rounds = fc.array(fc.record({ tables: fc.array(tableOf, { maxLength: 3 }), busy: fc.boolean() }), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(rounds, (sequence) => {
        let state: EdgeState = { ...EMPTY_STATE, slots: 2 };
        const proxy = new SimulatedProxy();
        for (const { tables, busy } of sequence) {
          const before = state;
          state = mergeTables(state, tables).state;
          checkState(before, state);
          converge(proxy, state, busy);
          expectEqual(proxy, state);
          state = release(state, proxy);
        }
        converge(proxy, state, false);
        expect(plan(proxy.image(), state)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});

function checkState(before: EdgeState, after: EdgeState): void {
  const slots = Object.values(after.hosts).map(({ slot }) => slot);
  expect(new Set(slots).size).toBe(slots.length);
  for (const slot of slots) {
    expect(slot).toBeLessThan(after.slots);
    expect(after.retiring).not.toContain(slot);
  }
  for (const [id, table] of Object.entries(before.tables)) {
    expect(after.tables[id]?.version ?? 0).toBeGreaterThanOrEqual(table.version);
  }
  for (const [host, { slot, environmentId }] of Object.entries(before.hosts)) {
    if (after.hosts[host]?.environmentId === environmentId) expect(after.hosts[host]?.slot).toBe(slot);
  }
}
