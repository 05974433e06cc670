/** Keys, processes, cables and addresses: harms that are one moment, or a cut. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hostBerthDir } from "@berth/infra/lab/lab-pod.ts";
import { until } from "../../git/until.ts";
import { agentPattern, type Given, type Harm, on } from "./harm.ts";

export const rotation: Harm = {
  name: "key rotation",
  what: "new keys on every host, under traffic",
  promiseMs: 6000,
  act: async ({ stage, timeline }) => {
    const keys = async () => (await stage.lab.network(stage.apps[0])).hosts.map(({ publicKey }) => publicKey);
    const before = await keys();
    const atMs = Date.now();
    await stage.lab.rotate(stage.apps[0]);
    await until(
      "every host to have another key",
      async () => (await keys()).every((key) => !before.includes(key)) || undefined,
      60_000,
    );
    timeline.mark("every host has another key");
    return { overAtMs: atMs };
  },
};

export const tunnelKilled: Harm = {
  name: "wireguard killed",
  what: "kill -9 of the tunnel's process",
  promiseMs: 15_000,
  act: async ({ near, tunnel }) => {
    const atMs = Date.now();
    await on(near, `pkill -9 -f 'wireguard-g[o] -f ${tunnel}'`);
    return { overAtMs: atMs };
  },
};

export const agentKilled: Harm = {
  name: "agent killed",
  what: "kill -9 of the agent",
  promiseMs: 1000,
  act: async ({ near, timeline }) => {
    const atMs = Date.now();
    const before = (await on(near, `pgrep -f ${agentPattern}`)).trim();
    await on(near, `kill -9 ${before}`);
    await until(
      "the next agent",
      async () => {
        const now = (await on(near, `pgrep -f ${agentPattern}`)).trim();
        return now !== "" && now !== before ? true : undefined;
      },
      60_000,
    );
    timeline.mark("the next agent runs");
    return { overAtMs: atMs };
  },
};

export const oneWay: Harm = {
  name: "one-way cut",
  what: "the other host hears and is not heard, for 40 s",
  promiseMs: 15_000,
  act: async ({ far, wait, timeline }) => {
    await far.host.cut("out");
    await wait(40_000);
    await far.host.heal();
    timeline.mark("the cut ends");
    return { overAtMs: Date.now() };
  },
};

/** The second address of the other host; the lab's own ends with the number of the host. */
const movedAddress = (address: string): string =>
  address.replace(/\d+$/, (last) => String(Number(last) + 100));

async function moveTo({ far, near }: Given, from: string, to: string): Promise<void> {
  const path = join(hostBerthDir(far.host), "host.json");
  await on(far, `ip address delete ${from}/24 dev eth0; ip address add ${to}/24 dev eth0`);
  // What 'berth host address' does, of which the lab's hosts have no whole.
  const text = await readFile(path, "utf8");
  await writeFile(path, text.replaceAll(`"${from}"`, `"${to}"`));
  await on(far, `kill $(pgrep -f ${agentPattern})`);
  await on(near, `ip neigh flush dev eth0`);
}

export const moved: Harm = {
  name: "host address",
  what: "the other host has another address, as its operator tells with 'berth host address'",
  promiseMs: 30_000,
  act: async (given) => {
    const { address } = given.far.host;
    const atMs = Date.now();
    await moveTo(given, address, movedAddress(address));
    return { overAtMs: atMs };
  },
  undo: async (given) => {
    const { address } = given.far.host;
    await moveTo(given, movedAddress(address), address);
  },
};
