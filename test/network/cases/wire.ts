/**
 * Every cable between the hosts is listened to while words that are known flow between containers and through the edges:
 * not one of them is seen. Then the same words are sent with encryption switched off, as a build without it would do,
 * and the same listening finds them.
 *
 * Off is made by hand: agents sleep, and an environment's WireGuard interface is replaced by a plain VXLAN of the same name,
 * so that rules and routes are those of the product.
 */
import { labNames } from "@berth/infra/lab/lab-names.ts";
import { until } from "../../git/until.ts";
import { type Finding, level } from "../../hosts/case.ts";
import { type Capture, captureBetween } from "../capture.ts";
import { type Instance, instancesOf } from "../namespaces.ts";
import type { NetworkCase, NetworkStage } from "../network-case.ts";
import type { NetworkApp } from "../network-lab.ts";
import { throughEdge } from "../network-lab.ts";
import { askFrom } from "../probe.ts";

const edgeRequests = 6;
const healTimeoutMs = 60_000;
const agents = "pgrep -f services/agent/src/mai[n]";
const appPort = 8080;

export const wireCase: NetworkCase = {
  name: "wire",
  title: "every cable between hosts is captured while known words flow; then once more with encryption off",
  run: async (stage) => {
    const findings = [await encrypted(stage)];
    findings.push(await clear(stage));
    return findings;
  },
};

interface Cable {
  readonly name: string;
  readonly capture: Capture;
}

async function listen({ lab }: NetworkStage): Promise<Cable[]> {
  const { bridge } = labNames(lab.lab.stateDir, lab.lab.index);
  const { hosts } = lab.lab;
  const pairs = hosts.flatMap((one, i) => hosts.slice(i + 1).map((other) => [one, other] as const));
  return await Promise.all(
    pairs.map(async ([one, other]) => ({
      name: `${one.name}–${other.name}`,
      capture: await captureBetween(bridge, one.address, other.address),
    })),
  );
}

/** From every container to every other one of its environment, and through every edge. */
async function sendWord(stage: NetworkStage, word: string): Promise<number> {
  const { lab, apps } = stage;
  let sent = 0;
  for (const app of apps) {
    const own = await instancesOf(lab.lab.hosts, `berth.service=${app.id}`);
    await Promise.all(
      own.map(async (from) => {
        for (const to of own.filter((one) => one !== from)) {
          await say(from, app, to.address, word);
          sent += 1;
        }
      }),
    );
    for (const { address } of lab.lab.hosts)
      for (let i = 0; i < edgeRequests; i += 1) {
        const { status } = await throughEdge(address, app.hostname, `/version?${word}`);
        if (status === 200) sent += 1;
      }
  }
  return sent;
}

/** A request whose path is the word, from inside of the container. */
async function say(from: Instance, app: NetworkApp, to: string, word: string): Promise<void> {
  const request = `printf 'GET /version?${word} HTTP/1.0\\r\\n\\r\\n'`;
  const script = `${request} | /bin/busybox timeout 5 /bin/busybox nc ${to} ${appPort}`;
  const { stdout } = await from.host.exec([
    "docker",
    "exec",
    from.container,
    "/bin/busybox",
    "sh",
    "-c",
    script,
  ]);
  if (!stdout.includes(`${app.environment}-${app.name}`))
    throw new Error(`${from.address} → ${to}: no answer, so nothing was on the wire`);
}

async function encrypted(stage: NetworkStage): Promise<Finding> {
  const word = `canary${Date.now()}`;
  const cables = await listen(stage);
  const sent = await sendWord(stage, word);
  // What proves that the capture sees what is in clear: one line per cable, outside of any network.
  const known = `known${Date.now()}`;
  await plainLines(stage, known);
  const seen = await Promise.all(
    cables.map(({ capture }) => capture.stopAt((bytes) => bytes.includes(known))),
  );
  const leaks = cables.filter((_, i) => [word, ...answers(stage)].some((text) => seen[i]?.includes(text)));
  const bytes = seen.reduce((sum, one) => sum + one.length, 0);
  return level(
    `words of ${sent} requests on ${cables.length} cables`,
    "none in clear",
    leaks.length === 0 && sent > 0,
    `${bytes} bytes captured, in clear on ${leaks.length === 0 ? "none" : leaks.map(({ name }) => name).join(", ")}; a line in clear was seen on each`,
  );
}

const answers = ({ apps }: NetworkStage): string[] => apps.map((app) => `${app.environment}-${app.name}`);

async function plainLines({ lab }: NetworkStage, known: string): Promise<void> {
  const { hosts } = lab.lab;
  for (const [i, one] of hosts.entries())
    for (const other of hosts.slice(i + 1))
      await one.exec([
        ...["sh", "-c"],
        `printf 'GET /${known} HTTP/1.0\\r\\n\\r\\n' | busybox timeout 3 busybox nc ${other.address} 8000`,
      ]);
}

async function clear(stage: NetworkStage): Promise<Finding> {
  const { lab, apps } = stage;
  const [app] = apps;
  const [near, far] = await instancesOf(lab.lab.hosts, `berth.service=${app.id}`);
  if (near === undefined || far === undefined) throw new Error(`${app.name} does not run on two hosts`);
  const word = `bare${Date.now()}`;
  const [one, other] = [near.host.address, far.host.address];
  const { bridge } = labNames(lab.lab.stateDir, lab.lab.index);
  const capture = await captureBetween(bridge, one, other);
  const device = `wb-${app.environmentId.slice(-10)}`;
  let found = false;
  try {
    for (const [own, peer] of [
      [near, far],
      [far, near],
    ] as const)
      await unencrypted(own, peer, device);
    await say(near, app, far.address, word);
    found = (await capture.stopAt((bytes) => bytes.includes(word))).includes(word);
  } finally {
    for (const { host } of [near, far]) await host.exec(["sh", "-c", `kill -CONT $(${agents})`]);
  }
  await until(
    "the encrypted way to be back",
    async () => {
      const { stdout } = await near.host.exec(["ip", "-d", "link", "show", "dev", device]);
      const [reached] = await askFrom(near.netns, [{ kind: "tcp", to: far.address, port: appPort }]);
      return reached && stdout !== "" && !stdout.includes("vxlan") ? true : undefined;
    },
    healTimeoutMs,
  );
  return level(
    "the same with encryption switched off",
    "found by the same capture",
    found,
    found ? "found" : "not seen",
  );
}

/** The agent sleeps; its interface becomes one that only wraps. */
async function unencrypted(own: Instance, peer: Instance, device: string): Promise<void> {
  const gateway = own.address.replace(/\d+$/, "1");
  const subnet = peer.address.replace(/\d+$/, "0/24");
  const mac = (address: string) =>
    `02:be:ee:00:00:${Number(address.split(".")[3]).toString(16).padStart(2, "0")}`;
  const script = `set -e
    kill -STOP $(${agents})
    ip link delete ${device}
    ip link add ${device} address ${mac(own.host.address)} type vxlan id 7 dev eth0 remote ${peer.host.address} dstport 4789
    ip address replace ${gateway}/32 dev ${device}
    ip link set ${device} mtu 1400 up
    echo 1 > /proc/sys/net/ipv4/conf/${device}/src_valid_mark
    echo 2 > /proc/sys/net/ipv4/conf/${device}/rp_filter
    ip neigh replace ${peer.address} lladdr ${mac(peer.host.address)} dev ${device}
    ip route replace ${subnet} dev ${device} src ${gateway} table 7421`;
  const { code, stderr } = await own.host.exec(["sh", "-c", script]);
  if (code !== 0) throw new Error(`${own.host.name}: the plain interface was not made: ${stderr.trim()}`);
}
