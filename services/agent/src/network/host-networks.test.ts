/** A host's networks while a look at them takes its time: changes go on, and what the look found is put right after it. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OPEN_EGRESS } from "@berth/shared/domain/egress-policy.ts";
import { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { sleep, systemClock } from "@berth/shared/kit/clock.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { newWireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import type { NetworkCreateOptions } from "dockerode";
import { afterEach, beforeEach, expect, test } from "vitest";
import { newTestId } from "../testing/ids.ts";
import { HostNetworks } from "./host-networks.ts";
import type { HostNetworksGiven } from "./host-networks-given.ts";
import type { KernelLook } from "./shell/kernel.ts";
import { NetworkFiles } from "./shell/network-files.ts";
import { type HandsGiven, NetworkHands } from "./shell/network-hands.ts";

const hostId = HostId.parse(newTestId("host"));
const environmentId = EnvironmentId.parse(newTestId("environment"));
const otherId = EnvironmentId.parse(newTestId("environment"));
const identity = { hostId, podId: "pod", nodeAddress: "10.0.0.1", subnet: "10.127.0.0/24", meshPort: 7426 };
let folder: string;

/** What the network service tells of an environment and of all hosts. @param neighbours with a job of it too */
function told(neighbours = 0, id = environmentId) {
  const range = id === environmentId ? "10.128" : "10.129";
  const own = { hostId, nodeAddress: "10.0.0.1", publicKey: newWireguardKeys().publicKey, port: 0 };
  const network = {
    ...{ environmentId: id, version: 1, subnet: `${range}.0.0/19`, keyGeneration: 0, names: [], links: [] },
    members: [
      { ...own, slice: `${range}.0.0/24` },
      ...Array.from({ length: neighbours }, (_, i) => ({
        ...{ hostId: HostId.parse(newTestId("host")), nodeAddress: `10.0.0.${i + 2}`, port: 7500 },
        ...{ publicKey: newWireguardKeys().publicKey, slice: `${range}.${i + 1}.0/24` },
      })),
    ],
    ...{ egress: OPEN_EGRESS, gateway: null },
  };
  const hosts = [{ ...own, port: 7426, subnet: identity.subnet, slices: [], publicKey: null }];
  return { network, mesh: { version: 1, podCidr: "10.128.0.0/10", hostCidr: "10.127.0.0/16", hosts } };
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "berth-networks-"));
  const { mesh } = told();
  await mkdir(join(folder, "networks"));
  await writeFile(
    join(folder, "networks", "mesh.json"),
    JSON.stringify({ format: 1, keys: newWireguardKeys(), mesh }),
  );
});
afterEach(() => rm(folder, { recursive: true }));

/** A machine whose routing rules are a set, and whose looks end when they are let. */
async function host(neighbours = 0) {
  const rules = new Set<number>();
  const did: string[] = [];
  let hold: Promise<void> = Promise.resolve();
  let holdChange: Promise<void> = Promise.resolve();
  let isFailing = false;
  let holdJoin: Promise<void> = Promise.resolve();
  const kernel = {
    interfaces: async () => [],
    look: async (): Promise<KernelLook> => {
      const rulePriorities = [...rules];
      await hold;
      did.push("looked");
      const filter = { table: { text: "", turn: 0 }, chains: "" };
      return { interfaces: [], routes: [], rulePriorities, filter };
    },
    changeTable: async () => {
      const fails = isFailing;
      isFailing = false;
      did.push("changed");
      await holdChange;
      if (fails) throw new Error("no rules");
    },
    ensureTable: async () => void did.push("ensured"),
    ensureChains: async () => {},
    checkSources: async () => {},
    run: async (lines: readonly { argv: readonly string[] }[]) => {
      for (const { argv } of lines) if (argv[3] === "add") rules.add(Number(argv[5]));
      if (lines.some(({ argv }) => argv[0] === "wg")) did.push("configured");
    },
  };
  const bridges: { name: string; subnet: string; labels: Record<string, string> }[] = [];
  const labels = { "berth.pod": "pod", "berth.network": "environment" };
  const engine = {
    info: async () => ({ version: "26" }),
    networks: async () => bridges,
    ensureNetwork: async ({ Name: name, IPAM }: NetworkCreateOptions) => {
      bridges.push({ name, subnet: IPAM?.Config?.[0]?.Subnet ?? "", labels });
      did.push("made");
    },
  };
  let holdTunnels: Promise<void> = Promise.resolve();
  const wireguard = {
    observe: async () => [],
    make: async () => {
      did.push("tunnel");
      await holdTunnels;
    },
  };
  const quiet = { setPodCidr() {}, keepTunnels() {}, noteTunnel() {} };
  const hands = { kernel, engine, wireguard, quiet, podId: "pod", nowMs: () => 0, log: silentLog };
  const files = new NetworkFiles(folder);
  const networks: HostNetworks = new HostNetworks({
    ...{ identity, engine, files, clock: systemClock, log: silentLog },
    hands: new NetworkHands(hands as unknown as HandsGiven),
    resolvers: {
      keepOnly: async () => {},
      ensure: async () => {
        did.push("resolver");
        return "nothing";
      },
    },
    ask: {
      applied: () => {},
      join: async (asked: { environmentId: EnvironmentId }) => {
        await holdJoin;
        return { answer: "joined", ...told(neighbours, asked.environmentId) };
      },
    },
    ...{ allowedPrivate: [], mailRelays: [], leaveAfterMs: 1000 },
  } as unknown as HostNetworksGiven);
  await networks.open();
  did.splice(0);
  return {
    ...{ networks, files, rules, did },
    holdLooks: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      hold = promise;
      return resolve;
    },
    holdTunnels: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      holdTunnels = promise;
      return resolve;
    },
    holdJoin: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      holdJoin = promise;
      return resolve;
    },
    /** The next one. */
    failChange: () => {
      isFailing = true;
    },
    /** Those that begin from now on. */
    holdChanges: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      holdChange = promise;
      return resolve;
    },
  };
}

test("changes do not wait for a look under way", async () => {
  const { networks, did, holdLooks } = await host();
  const letGo = holdLooks();
  const looking = networks.look();
  await networks.apply();
  await networks.apply();
  expect(did).toEqual(["changed", "changed"]);
  letGo();
  await looking;
  expect(did).toEqual(["changed", "changed", "looked", "ensured"]);
});

test("what somebody removed is put back by the look that saw it, with changes before and after", async () => {
  const { networks, rules, did, holdLooks } = await host();
  const whole = [...rules];
  expect(whole.length).toBeGreaterThan(3);
  const [gone = 0] = whole;
  rules.delete(gone);
  const letGo = holdLooks();
  const looking = networks.look();
  await networks.apply();
  expect(rules.has(gone)).toBe(false);
  letGo();
  await looking;
  expect([...rules].sort()).toEqual(whole.sort());
  expect(did.filter((one) => one === "looked")).toHaveLength(1);
});

test("a start waits for the run that makes its bridge, not for the next one", async () => {
  const { networks, files, did, holdChanges } = await host();
  const apply = networks.apply.bind(networks);
  let asked = 0;
  networks.apply = (seen) => {
    asked += 1;
    return apply(seen);
  };
  // Somebody else's run begins as soon as the join is stored: it makes the bridge.
  const save = files.save.bind(files);
  const letFirstGo = holdChanges();
  files.save = async (held) => {
    await save(held);
    void networks.apply();
    await expect.poll(() => did).toEqual(["changed"]);
  };
  const starting = networks.ensure(environmentId);
  await expect.poll(() => asked).toBe(2);
  const letSecondGo = holdChanges();
  letFirstGo();
  expect(await starting).toMatchObject({ resolver: "10.128.0.1" });
  const steps = () => did.filter((one) => one !== "resolver");
  await expect.poll(steps).toEqual(["changed", "made", "changed"]);
  letSecondGo();
  await apply();
});

test("a start waits for its bridge and its resolver, not for the tunnel to a second host", async () => {
  const { networks, did, holdTunnels } = await host(1);
  const letGo = holdTunnels();
  expect(await networks.ensure(environmentId)).toMatchObject({ resolver: "10.128.0.1" });
  expect(did.slice(0, 3)).toEqual(["changed", "made", "resolver"]);
  await expect.poll(() => did).toContain("tunnel");
  letGo();
  await networks.apply();
});

test("a bridge that is waited for comes before what is left to do to another environment's tunnel", async () => {
  const { networks, did, holdTunnels } = await host(1);
  const letGo = holdTunnels();
  await networks.ensure(environmentId);
  await expect.poll(() => did).toContain("tunnel");
  const [all, starting] = [networks.apply(), networks.ensure(otherId)];
  await sleep(20);
  letGo();
  expect(await starting).toMatchObject({ resolver: "10.129.0.1" });
  await all;
  const first = ["changed", "made", "resolver", "tunnel"];
  const second = ["changed", "made", "resolver", "configured", "tunnel", "configured"];
  expect(did.filter((one, at) => one !== "resolver" || did[at - 1] === "made")).toEqual([
    ...first,
    ...second,
  ]);
});

test("a bridge and its resolver are made while its rules are, and nothing stands before all three", async () => {
  const { networks, did, holdChanges } = await host(1);
  const letGo = holdChanges();
  let stands = false;
  const starting = networks.ensure(environmentId).then(() => {
    stands = true;
  });
  await expect.poll(() => did).toEqual(["changed", "made", "resolver"]);
  await Promise.race([starting, sleep(20)]);
  expect([did, stands]).toEqual([["changed", "made", "resolver"], false]);
  letGo();
  await starting;
  await networks.apply();
});

test("without its rules a network does not stand, and the next try finds the bridge", async () => {
  const { networks, did, failChange } = await host(1);
  failChange();
  await expect(networks.ensure(environmentId)).rejects.toThrow("no rules");
  expect(did).not.toContain("tunnel");
  expect(await networks.ensure(environmentId)).toMatchObject({ resolver: "10.128.0.1" });
  expect(did.filter((one) => one === "made")).toHaveLength(1);
  await networks.apply();
});

test("a mesh that is told while a join is under way waits for it: one run makes the bridge and then the tunnels", async () => {
  const { networks, did, holdJoin } = await host(1);
  const answer = holdJoin();
  const starting = networks.ensure(environmentId);
  const { mesh } = told();
  const telling = networks.takeMesh({ ...mesh, version: mesh.version + 1 });
  await Promise.race([telling, sleep(20)]);
  expect(did).toEqual([]);
  answer();
  await starting;
  expect(did.slice(0, 3)).toEqual(["changed", "made", "resolver"]);
  await telling;
});

test("a mesh does not wait for a join that hangs", async () => {
  const { networks, did, holdJoin } = await host(1);
  const answer = holdJoin();
  const starting = networks.ensure(environmentId);
  const { mesh } = told();
  await networks.takeMesh({ ...mesh, version: mesh.version + 1 });
  expect(did).toEqual(["changed"]);
  answer();
  await starting;
  await networks.apply();
});
