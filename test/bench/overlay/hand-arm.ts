/**
 * The floor: two containers on two hosts that know nothing of Berth, joined by wireguard-go as its own documentation
 * does it: an interface per host, one peer, a route to the other host's bridge. No packet rules but the engine's.
 */
import { spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { command } from "@berth/infra/lab/command.ts";
import type { Lab, LabHost } from "@berth/infra/lab/lab.ts";
import { instancesOf, netnsOf } from "../../network/namespaces.ts";
import type { Path } from "./transfer.ts";

export interface HandGiven {
  readonly lab: Lab;
  readonly program: string;
  readonly mtu: number;
  readonly name: string;
  /** Of the process that encrypts. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface HandArm extends Path {
  close(): Promise<void>;
}

const label = "berth-bench=overlay";
const image = "berth-bench-overlay";
const port = 51_820;
const standTimeoutMs = 5000;

interface End {
  readonly host: LabHost;
  readonly device: string;
  readonly netns: string;
  readonly slice: string;
  readonly publicKey: string;
}

/** One at a time: another one with the same hosts must be closed before. */
export async function handArm({ lab, program, mtu, name, env = {} }: HandGiven): Promise<HandArm> {
  const hosts = lab.hosts.slice(0, 2);
  const ends: End[] = [];
  for (const [i, host] of hosts.entries()) ends.push(await makeEnd(host, i, { lab, program, mtu, env }));
  const [one, two] = ends as [End, End];
  await peer(one, two);
  await peer(two, one);
  for (const { host, slice } of ends) await startContainer(host, slice, mtu);
  const [from, to] = await instancesOf(hosts, label);
  if (from === undefined || to === undefined) throw new Error("the containers of the floor do not run");
  return { name, from, to, hosts: ends.map(({ netns }) => netns), close: () => remove(ends) };
}

async function makeEnd(
  host: LabHost,
  i: number,
  { lab, program, mtu, env }: Omit<HandGiven, "name">,
): Promise<End> {
  const device = `bench${lab.index}-${i}`;
  const netns = netnsOf(host, 1);
  const socket = `/var/run/wireguard/${device}.sock`;
  rmSync(socket, { force: true }); // of a run that was killed
  const child = spawn("nsenter", [`--net=${netns}`, program, "-f", device], {
    ...{ detached: true, stdio: "ignore", cwd: "/", env: { LOG_LEVEL: "error", ...env } },
  });
  child.unref();
  const deadlineMs = performance.now() + standTimeoutMs;
  while (!existsSync(socket)) {
    if (performance.now() > deadlineMs) throw new Error(`${program} did not bring ${device} up`);
    await delay(20);
  }
  const inside = ["nsenter", `--net=${netns}`];
  const key = `f=$(mktemp); wg genkey >"$f"; wg set ${device} listen-port ${port} private-key "$f"; rm "$f"; wg show ${device} public-key`;
  const publicKey = (await command([...inside, "sh", "-c", key])).trim();
  await command([...inside, "ip", "link", "set", device, "mtu", String(mtu), "up"]);
  return { host, device, netns, slice: `172.30.${i + 1}.0/24`, publicKey };
}

async function peer(own: End, other: End): Promise<void> {
  const inside = ["nsenter", `--net=${own.netns}`];
  const endpoint = `${other.host.address}:${port}`;
  const words = ["peer", other.publicKey, "endpoint", endpoint, "allowed-ips", other.slice];
  await command([...inside, "wg", "set", own.device, ...words]);
  await command([...inside, "ip", "route", "replace", other.slice, "dev", own.device]);
}

/** The engine's own FORWARD policy is to drop; nothing else stands between. */
async function startContainer(host: LabHost, slice: string, mtu: number): Promise<void> {
  const network = `docker network create --driver bridge --subnet ${slice} --opt com.docker.network.driver.mtu=${mtu} --opt com.docker.network.bridge.name=bench0 --opt com.docker.network.bridge.gateway_mode_ipv4=routed --opt com.docker.network.bridge.enable_ip_masquerade=false bench`;
  const open = "iptables -I DOCKER-USER -i bench0 -j ACCEPT && iptables -I DOCKER-USER -o bench0 -j ACCEPT";
  const start = `docker run --detach --network bench --label ${label} ${image} /bin/busybox sleep 86400`;
  const busybox = `mkdir -p /tmp/bench/bin && cp "$(command -v busybox)" /tmp/bench/bin/busybox && tar -C /tmp/bench -c . | docker import - ${image}`;
  const script = `set -e; docker image inspect ${image} >/dev/null 2>&1 || (${busybox}); ${network}; ${open}; ${start}`;
  const { code, stderr } = await host.exec(["sh", "-c", script]);
  if (code !== 0) throw new Error(`${host.name}: the floor's container did not start: ${stderr.trim()}`);
}

async function remove(ends: readonly End[]): Promise<void> {
  for (const { host, device, netns } of ends) {
    const away = `docker ps -aq --filter label=${label} | xargs -r docker rm -f; docker network rm bench; iptables -F DOCKER-USER; iptables -A DOCKER-USER -j RETURN`;
    await host.exec(["sh", "-c", away]);
    await command(["nsenter", `--net=${netns}`, "ip", "link", "delete", device]).catch(() => undefined);
  }
}
