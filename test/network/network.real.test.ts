/**
 * Environment networks on two real hosts: who reaches whom, what the wire shows, and what happens when parts of it go.
 *
 * `BERTH_NETWORK_KEEP=1` leaves the lab up for the next run.
 */
import { ensurePackages } from "@berth/infra/install/debian-packages.ts";
import { labNames } from "@berth/infra/lab/lab-names.ts";
import { parseEgressRule } from "@berth/shared/domain/egress-policy.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../git/until.ts";
import { captureBetween } from "./capture.ts";
import { carriesMuchAsBatch } from "./cases/busy-tunnel.ts";
import { restsAndWakes } from "./cases/resting-tunnel.ts";
import { spoofingCase } from "./cases/spoofing.ts";
import { wireCase } from "./cases/wire.ts";
import { clockWasAhead } from "./clocks.ts";
import { isolation, matrixLines, violations } from "./isolation.ts";
import type { NetworkStage } from "./network-case.ts";
import { type NetworkApp, type NetworkLab, startNetworkLab, throughEdge } from "./network-lab.ts";
import { askOnOpenConnection } from "./open-connection.ts";
import { OUTSIDE, openOutside } from "./outside.ts";
import { personReachesNothingElse, tunnelReachesInstance } from "./person-case.ts";
import { rebindingNamesHaveNoAnswer } from "./rebinding-case.ts";

/** Another one runs beside. */
const index = Number(process.env.BERTH_NETWORK_INDEX ?? 9);
const stateDir = `/tmp/berth-network-${index}`;
const healTimeoutMs = 60_000;
let lab: NetworkLab;
let shop: NetworkApp;
let bank: NetworkApp;

beforeAll(async () => {
  await ensurePackages(["tcpdump"], (line) => console.log(`   ${line}`));
  lab = await startNetworkLab({ hosts: 2, index, postgresPort: 17_101 + index * 10, stateDir });
  const run = Date.now().toString(36);
  [shop, bank] = [await lab.app(`blue-${run}`, "shop"), await lab.app(`red-${run}`, "bank")];
}, 300_000);

afterAll(async () => {
  if (process.env.BERTH_NETWORK_KEEP !== "1") await lab?.close();
}, 120_000);

function stage(): NetworkStage {
  return { lab, apps: [shop, bank], say: (line) => console.log(`   ${line}`) };
}

/** What the app at `target` answers to a container of `app` on `host`; empty when nothing does. */
async function ask(host: string, app: NetworkApp, target: string, seconds = 2, port = 8080): Promise<string> {
  const wait = `/bin/busybox timeout ${seconds} /bin/busybox nc ${target} ${port}`;
  const said = await lab.inside(host, app, `printf 'GET /version HTTP/1.0\\r\\n\\r\\n' | ${wait}`);
  return /\r\n\r\n(.*)/s.exec(said)?.[1]?.trim() ?? "";
}

async function addressOn(host: string, app: NetworkApp): Promise<string> {
  const address = (await app.addresses()).get(host);
  if (address === undefined) throw new Error(`${app.name} has no instance on ${host}`);
  return address;
}

test("inside an environment: every instance, on this host and the other, by address and by name", async () => {
  for (const host of ["h1", "h2"]) {
    const targets = [
      ...(await shop.addresses()).values(),
      "shop.internal",
      "web.shop.internal",
      "2.web.shop.internal",
    ];
    const answers = await Promise.all(targets.map((target) => ask(host, shop, target, 5)));
    expect(answers, `${host}: ${targets.join(" ")}`).toEqual(targets.map(() => `${shop.environment}-shop`));
  }
});

test("SRV records tell every ready instance and its port, inside the environment only", async () => {
  const answer = await lab.inside("h1", shop, "/bin/busybox nslookup -type=srv _http._tcp.shop.internal");
  for (const slot of [1, 2]) expect(answer).toContain(`8080 ${slot}.web.shop.internal`);
  const foreign = await lab.inside("h1", bank, "/bin/busybox nslookup -type=srv _http._tcp.shop.internal");
  expect(foreign).toContain("NXDOMAIN");
});

test("an outside name that points to a private address has no answer", () =>
  rebindingNamesHaveNoAnswer(lab, shop));

test("`berth tunnel` reaches an instance inside, through the API and a host's agent", () =>
  tunnelReachesInstance(lab, shop));

test("the matrix: reachable inside, nothing across, nothing to hosts, control plane, metadata, private networks", async () => {
  const answered = await isolation(lab, [shop, bank]);
  for (const line of matrixLines(answered)) console.log(line);
  expect(violations(answered)).toEqual([]);
  const groups = Object.groupBy(answered, ({ group }) => group);
  expect(groups).toMatchObject({
    container: expect.any(Array),
    name: expect.any(Array),
    outside: expect.any(Array),
  });
}, 120_000);

test("the edges reach every environment on every host", async () => {
  for (const { name, address } of lab.lab.hosts)
    for (const app of [shop, bank])
      for (let round = 0; round < 4; round += 1) {
        const { status, body } = await throughEdge(address, app.hostname, "/version");
        expect({ name, status, body: body.trim() }).toEqual({
          ...{ name, status: 200, body: `${app.environment}-${app.name}` },
        });
      }
});

test("on the wire between the hosts there is no word of it in clear; with encryption off it is found", async () => {
  const findings = await wireCase.run(stage(), "short");
  expect(findings.filter(({ kept }) => !kept)).toEqual([]);
  expect(findings).toHaveLength(2);
}, 120_000);

test("a container with raw sockets that takes other addresses is not heard", async () => {
  const findings = await spoofingCase.run(stage(), "short");
  expect(findings.filter(({ kept }) => !kept)).toEqual([]);
  expect(findings).toHaveLength(4);
}, 120_000);

test("the kernel asks at every bridge and tunnel whether a packet's source is behind it", async () => {
  const shown = await lab.on(
    "h1",
    "cd /proc/sys/net/ipv4/conf && grep . bn-*/rp_filter wb-*/rp_filter [bw][nb]-*/src_valid_mark",
  );
  const settings = shown.trim().split("\n");
  expect(settings.filter((line) => line.startsWith("bn-")).length).toBeGreaterThanOrEqual(4);
  // Strictly at a bridge; at a tunnel with the packet's mark, because its other side may answer by another way.
  const expected = (line: string) => (/^wb-.*rp_filter/.test(line) ? ":2" : ":1");
  expect(settings.filter((line) => !line.endsWith(expected(line)))).toEqual([]);
}, 30_000);

test("a link that both sides agreed on opens one service at one port, encrypted, and ends when either side ends it", async () => {
  const [h1, h2] = [lab.lab.host("h1"), lab.lab.host("h2")];
  const name = `shop.${shop.environment}.acme.link.internal`;
  const reaches = async (host: string, target: string) => (await ask(host, bank, target)) !== "";
  expect(await lab.link("offer", shop, bank)).toBe("waiting");
  expect(await reaches("h1", await addressOn("h1", shop))).toBe(false);
  expect(await lab.link("accept", shop, bank)).toBe("standing");
  for (const { name: host } of lab.lab.hosts) {
    await until(`the link on ${host}`, async () => (await reaches(host, name)) || undefined, healTimeoutMs);
    // This host's instance and the other one's.
    const targets = [...(await shop.addresses()).values()];
    const answers = await Promise.all(targets.map((target) => ask(host, bank, target, 5)));
    expect(answers, `${host} to ${targets}`).toEqual(targets.map(() => `${shop.environment}-shop`));
    // The edge's own port at that address, the way back, and the other environment's own names stay closed.
    const gateway = targets.map((target) => target.replace(/\d+$/, "1"));
    const closed = [
      ...gateway.map((target) => ask(host, bank, target, 2, 8000)),
      ask(host, shop, await addressOn(host, bank)),
      ask(host, bank, "shop.internal"),
    ];
    expect(new Set(await Promise.all(closed))).toEqual(new Set([""]));
  }
  const capture = await captureBetween(labNames(stateDir, index).bridge, h1.address, h2.address);
  const far = await addressOn("h2", shop);
  // A connection that stands before `meanwhile` and asks after it.
  const askAfter = (meanwhile: () => Promise<unknown>) =>
    askOnOpenConnection(lab, "h1", bank, far, meanwhile);
  expect(await askAfter(async () => undefined)).toContain(`${shop.environment}-shop`);
  const known = `known${Date.now()}`;
  await lab.on("h1", `echo ${known} | busybox timeout 1 busybox nc ${h2.address} 8000`);
  const seen = await capture.stopAt((bytes) => bytes.includes(known));
  expect(seen.includes(`${shop.environment}-shop`)).toBe(false);
  const cut = async (word: "leave" | "withdraw") => {
    await lab.link(word, shop, bank);
    await until("silence", async () => ((await reaches("h1", far)) ? undefined : true), healTimeoutMs);
  };
  expect(await askAfter(() => cut("leave"))).toBe("");
  await lab.link("accept", shop, bank);
  await until("the link again", async () => (await reaches("h1", name)) || undefined, healTimeoutMs);
  expect(await askAfter(() => cut("withdraw"))).toBe("");
}, 180_000);

test("an egress policy holds for every packet on every host, within moments and for open connections too", async () => {
  const device = labNames(stateDir, index).bridge;
  const ons = lab.lab.hosts.map(
    ({ name }) =>
      (command: string) =>
        lab.on(name, command),
  );
  const outside = await openOutside(device, lab.lab.machineAddress, [25, 8080, 8081], ons);
  const everywhere = (port: number) =>
    Promise.all(lab.lab.hosts.map(({ name }) => ask(name, shop, OUTSIDE, 2, port)));
  const addresses = lab.lab.hosts.map(({ address }) => address);
  const rules = (...texts: string[]) => texts.map(parseEgressRule).filter((rule) => rule !== null);
  const becomes = (what: string, port: number, wanted: readonly string[]) =>
    until(
      what,
      async () => (String(await everywhere(port)) === String(wanted) ? true : undefined),
      healTimeoutMs,
    );
  try {
    await becomes("the way out", 8080, addresses);
    expect(await everywhere(25)).toEqual(["", ""]);
    const cut = async () => {
      expect(await lab.egress(shop, { mode: "none", rules: [] })).toMatchObject({ isHeld: true });
      expect(await everywhere(8080)).toEqual(["", ""]);
    };
    expect(await askOnOpenConnection(lab, "h1", shop, OUTSIDE, cut)).toBe("");
    // Its own network and other environments are as before.
    expect(await ask("h1", shop, await addressOn("h2", shop))).not.toBe("");
    expect(await ask("h1", bank, OUTSIDE)).toBe(addresses[0]);
    const list = rules("203.0.113.0/24:8081", "203.0.113.10:8081", "0.0.0.0/0:25", "10.0.0.0/8");
    await lab.egress(shop, { mode: "list", rules: list });
    await becomes("what is listed", 8081, addresses);
    expect(await everywhere(8080)).toEqual(["", ""]);
    expect(await everywhere(25)).toEqual(["", ""]);
    expect(await ask("h1", shop, lab.lab.host("h2").address, 2, 8000)).toBe("");
    await lab.egress(shop, { mode: "open", rules: [] });
    await becomes("the way out again", 8080, addresses);
    // Through one host, with an address that it has besides its own; while it does not have it, with none at all.
    const fixed = lab.lab.host("h2").address.replace(/\d+$/, "200");
    await lab.on("h2", `ip address replace ${fixed}/24 dev eth0`);
    await lab.gateway(shop, { host: "h2", address: fixed });
    await becomes("one address", 8080, [fixed, fixed]);
    expect(await ask("h1", bank, OUTSIDE)).toBe(addresses[0]);
    expect(await ask("h1", shop, lab.lab.host("h1").address, 2, 8000)).toBe("");
    expect(await ask("h1", shop, await addressOn("h1", bank))).toBe("");
    expect(await ask("h1", shop, await addressOn("h2", shop))).toBe(`${shop.environment}-shop`);
    await lab.on("h2", `ip address delete ${fixed}/24 dev eth0`);
    await becomes("no other address instead", 8080, ["", ""]);
    await lab.gateway(shop, null);
    await becomes("each host's own address", 8080, addresses);
  } finally {
    await outside.close();
  }
}, 180_000);

test("an allow-list holds at every edge when it is said to, for the connection's own address alone", async () => {
  const edges = lab.lab.hosts.map(({ address }) => address);
  const statuses = (app: NetworkApp) =>
    Promise.all(edges.map(async (edge) => (await throughEdge(edge, app.hostname, "/version")).status));
  await lab.allow(shop, [`${lab.lab.machineAddress}/32`]);
  expect(await statuses(shop)).toEqual([200, 200]);
  await lab.allow(shop, ["203.0.113.0/24"]);
  expect(await statuses(shop)).toEqual([403, 403]);
  expect(await statuses(bank)).toEqual([200, 200]);
  await lab.allow(shop, null);
  expect(await statuses(shop)).toEqual([200, 200]);
});

test("an agent that is killed changes nothing on the wire", async () => {
  const far = await addressOn("h2", shop);
  const before = await lab.on("h1", "pgrep -a wireguard-go | sort; pgrep dnsmasq | sort");
  const asking = Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 200));
      return ask("h1", shop, far, 10);
    }),
  );
  await lab.on("h1", "kill -9 $(pgrep -f services/agent/src/mai[n])");
  expect(new Set(await asking)).toEqual(new Set([`${shop.environment}-shop`]));
  await until(
    "the next agent",
    async () => /\d/.test(await lab.on("h1", "pgrep -f services/agent/src/mai[n]")) || undefined,
    healTimeoutMs,
  );
  expect(await ask("h1", shop, "shop.internal", 5)).toBe(`${shop.environment}-shop`);
  expect(await lab.on("h1", "pgrep -a wireguard-go | sort; pgrep dnsmasq | sort")).toBe(before);
});

test("a tunnel's process and a resolver that are killed come back, also where the host's clock was set back", async () => {
  const far = await addressOn("h2", shop);
  // The other host takes no handshake of this one any more: it has to begin one itself.
  await clockWasAhead(lab.lab.host("h1"), lab.lab.host("h2"), shop.environmentId);
  await lab.on("h1", "pkill -9 wireguard-go; pkill -9 dnsmasq");
  await until(
    "the tunnels",
    async () => ((await ask("h1", shop, far)) === "" ? undefined : true),
    healTimeoutMs,
  );
  await until(
    "the names",
    async () => ((await ask("h1", shop, "shop.internal")) === "" ? undefined : true),
    healTimeoutMs,
  );
  const { address } = lab.lab.host("h1");
  await until(
    "the edge's way to the other host",
    async () => {
      const answers = await Promise.all(
        Array.from({ length: 4 }, () => throughEdge(address, bank.hostname, "/version")),
      );
      return answers.every(({ status }) => status === 200) ? true : undefined;
    },
    healTimeoutMs,
  );
});

test("the network is shown: hosts, slices, and tunnels that are up, with latency and bytes", async () => {
  const network = await until(
    "both ends to be up, with answered probes",
    async () => {
      const shown = await lab.network(shop);
      const ends = shown.hosts.flatMap(({ tunnels }) => tunnels);
      const well =
        ends.length === 2 && ends.every(({ state, latencyMs }) => state === "up" && latencyMs !== null);
      return well ? shown : undefined;
    },
    healTimeoutMs,
  );
  expect(network.hosts.map(({ name }) => name)).toEqual(["h1", "h2"]);
  for (const { tunnels } of network.hosts)
    expect(tunnels[0]).toMatchObject({ handshakeAtMs: expect.any(Number), rxBytes: expect.any(Number) });
  console.log(JSON.stringify(network.hosts.map(({ name, slice, tunnels }) => ({ name, slice, tunnels }))));
});

test("a tunnel that carries much is scheduled as a batch at both ends", async () =>
  carriesMuchAsBatch(lab, shop, await addressOn("h2", shop)));

test("the tunnel of an environment that sleeps rests, and carries the first packet after the wake", () =>
  restsAndWakes(lab, shop, async () => ask("h1", shop, await addressOn("h2", shop), 5)));

test(
  "a person's machine reaches the environment and nothing else, until it is let out",
  () => personReachesNothingElse({ ...{ lab, shop, bank, addressOn }, stateDir, index }),
  120_000,
);

test("keys are rotated under traffic: other keys, and every request is answered", async () => {
  const before = await lab.network(shop);
  const far = await addressOn("h2", shop);
  const asking = Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 200));
      return ask("h1", shop, far, 20);
    }),
  );
  const { keyGeneration } = await lab.rotate(shop);
  expect(keyGeneration).toBe(before.keyGeneration + 1);
  const keys = (shown: typeof before) => shown.hosts.map(({ publicKey }) => publicKey);
  await until(
    "every host to have another key",
    async () => keys(await lab.network(shop)).every((key) => !keys(before).includes(key)) || undefined,
    healTimeoutMs,
  );
  expect(new Set(await asking)).toEqual(new Set([`${shop.environment}-shop`]));
});

test("our table flushed by hand: nothing passes, and soon all that should does", async () => {
  const [own, far] = [await addressOn("h1", shop), await addressOn("h2", shop)];
  const foreign = await addressOn("h1", bank);
  // The agent sleeps, so that what is seen is the state without the table.
  await lab.on("h1", "kill -STOP $(pgrep -f services/agent/src/mai[n]); nft delete table inet berth");
  try {
    const targets = [far, foreign, lab.lab.host("h2").address];
    const silent = async () => {
      const answers = await Promise.all(targets.map((target) => ask("h1", shop, target)));
      expect(answers).toEqual(targets.map(() => ""));
      expect(await ask("h1", shop, lab.lab.host("h2").address, 2, 8000)).toBe("");
    };
    await silent();
    // Not to this host either, whose edge listens at the bridge's address too.
    expect(await ask("h1", shop, foreign.replace(/\d+$/, "1"), 2, 8000)).toBe("");
    // Nothing passes the host even when the engine's filters are gone as well.
    await lab.on("h1", "iptables-save > /run/saved; iptables -P FORWARD ACCEPT; iptables -F");
    await silent();
  } finally {
    await lab.on("h1", "iptables-restore < /run/saved; kill -CONT $(pgrep -f services/agent/src/mai[n])");
  }
  await until(
    "the rules",
    async () => ((await ask("h1", shop, far)) === "" ? undefined : true),
    healTimeoutMs,
  );
  expect(await ask("h1", shop, foreign)).toBe("");
  // What holds containers' ports to their addresses is put back as well.
  const bound = async () => (await lab.on("h1", "nft list table bridge berth")).includes(` ${own}`);
  expect(await bound()).toBe(true);
  await lab.on("h1", "nft delete table bridge berth");
  await until("the ports' rules", async () => (await bound()) || undefined, healTimeoutMs);
});

test("the last job gone, the hosts leave, and nothing is left", async () => {
  await Promise.all([shop.remove(), bank.remove()]);
  const look =
    "ip -o link | grep -E ': (bn|wb)-'; docker network ls -q --filter label=berth.network=environment; " +
    "pgrep -a dnsmasq; pgrep -a wireguard-go | grep wb-; ls /run/berth/resolvers/*; ls -d /var/run/wireguard/wb-*; " +
    "ip route show table 7421; nft list table inet berth | grep bn-";
  const files = (host: string) => `ls ${lab.lab.host(host).sharedDir}/berth/networks | grep env_`;
  for (const { name } of lab.lab.hosts)
    await until(
      `nothing of the environments on ${name}`,
      async () => {
        const left = (await lab.on(name, `(${look}; ${files(name)}) 2>/dev/null`)).trim();
        return left === "" ? true : undefined;
      },
      healTimeoutMs,
    );
}, 180_000);
