/**
 * The lab's cables: one bridge, a network namespace per host with a veth pair to the bridge, and the partitions.
 *
 * Everything is made by name when it is missing and removed by name when it is there, so each function may be
 * called again after a crash in its middle. The bridge carries an alias that names its lab: a bridge of the same
 * name with another alias belongs to another lab, and is refused.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { command, tryCommand } from "./command.ts";
import type { HostNames, LabNames } from "./lab-names.ts";
import type { Cut } from "./lab-record.ts";

const netnsFolder = "/run/netns";
/** A table of its own: neither Docker nor the agent ever changes it. */
const cutTable = "berth_lab_cut";
/** The first line makes sure that there is a table to delete. */
const withoutCut = `table inet ${cutTable} {}\ndelete table inet ${cutTable}\n`;
const vethGoneTimeoutMs = 5000;

function takenByAnother(names: LabNames): boolean {
  if (!interfaceExists(names.bridge)) return false;
  const alias = bridgeAlias(names);
  // Without an alias its maker broke off right after making it: it holds nothing, and whoever comes takes it.
  return alias !== "" && alias !== names.bridgeAlias;
}

/** @throws Error when another lab has this index: its things must not be touched. Call it before recording. */
export function refuseTaken(names: LabNames): void {
  if (!takenByAnother(names)) return;
  throw new Error(
    `${names.bridge} is there already ("${bridgeAlias(names)}"): another lab runs on this machine. ` +
      "End it with 'berth lab down', or give this one another --index (0 to 99).",
  );
}

export async function ensureBridge(names: LabNames): Promise<void> {
  refuseTaken(names);
  if (!interfaceExists(names.bridge)) await command(["ip", "link", "add", names.bridge, "type", "bridge"]);
  await command(["ip", "link", "set", "dev", names.bridge, "alias", names.bridgeAlias]);
  const address = `${names.machineAddress}/${names.prefixLength}`;
  await command(["ip", "address", "replace", address, "dev", names.bridge]);
  await command(["ip", "link", "set", names.bridge, "up"]);
  const rule = forwardRule(names);
  const present = await tryCommand(["iptables", "-w", "10", "-C", "FORWARD", ...rule]);
  if (present.code !== 0) await command(["iptables", "-w", "10", "-I", "FORWARD", ...rule]);
}

export async function removeBridge(names: LabNames): Promise<void> {
  if (!interfaceExists(names.bridge)) return;
  const rule = forwardRule(names);
  // A crash may have left it twice; the bound is only there so that the loop ends.
  for (let i = 0; i < 8; i += 1) {
    if ((await tryCommand(["iptables", "-w", "10", "-D", "FORWARD", ...rule])).code !== 0) break;
  }
  await command(["ip", "link", "delete", names.bridge]);
}

/**
 * Frames from host to host pass the machine's FORWARD chain where bridge-nf-call-iptables is on, and a Docker
 * Engine on the machine sets that chain's policy to DROP.
 */
function forwardRule(names: LabNames): string[] {
  return ["-i", names.bridge, "-o", names.bridge, "-j", "ACCEPT"];
}

function bridgeAlias(names: LabNames): string {
  return readFileSync(`/sys/class/net/${names.bridge}/ifalias`, "utf8").trim();
}

/** @returns whether `ip netns` has made its mount on this machine yet. */
export function netnsMountExists(): boolean {
  return readFileSync("/proc/self/mountinfo", "utf8").includes(` ${netnsFolder} `);
}

/** Namespace and cable of one host: addresses set, both ends up. */
export async function ensureHostNetwork(lab: LabNames, host: HostNames): Promise<void> {
  if (!existsSync(host.netnsPath)) await command(["ip", "netns", "add", host.netns]);
  if (!interfaceExists(host.veth)) {
    const peer = ["type", "veth", "peer", "name", "eth0", "address", host.mac, "netns", host.netns];
    await command(["ip", "link", "add", host.veth, ...peer]);
  }
  await command(["ip", "link", "set", host.veth, "master", lab.bridge, "up"]);
  const inside = ["ip", "-n", host.netns];
  await command([...inside, "link", "set", "lo", "up"]);
  const address = `${host.address}/${lab.prefixLength}`;
  await command([...inside, "address", "replace", address, "dev", "eth0"]);
  await command([...inside, "link", "set", "eth0", "up"]);
}

/** Everything that lived in the namespace (routes, rules, Docker's bridges) goes with it, as in a power cut. */
export async function removeHostNetwork(host: HostNames): Promise<void> {
  if (interfaceExists(host.veth)) await command(["ip", "link", "delete", host.veth]);
  if (existsSync(host.netnsPath)) {
    const removed = await tryCommand(["ip", "netns", "delete", host.netns]);
    // A crash between the file and its mount leaves a plain file, which `ip netns` does not delete.
    if (removed.code !== 0) rmSync(host.netnsPath, { force: true });
  }
  const deadline = Date.now() + vethGoneTimeoutMs;
  while (interfaceExists(host.veth) && Date.now() < deadline) await delay(10);
}

/** Undoes `ip netns`' own mount when this lab caused it and no namespace is left. */
export async function removeNetnsMount(): Promise<void> {
  if (!netnsMountExists() || readdirSync(netnsFolder).length > 0) return;
  await tryCommand(["umount", netnsFolder]);
}

/**
 * Lets containers of all hosts reach each other by address. `ownCidrs` are accepted from outside; `peers` are
 * CIDR → address of the host that has them. The rule stands in FORWARD itself: an engine that starts without a
 * default bridge and with networks on disk creates DOCKER-USER but never jumps to it (seen with 26.1).
 */
export async function setRoutes(
  host: HostNames,
  rootfs: string,
  ownCidrs: readonly string[],
  peers: ReadonlyMap<string, string>,
): Promise<void> {
  for (const [cidr, via] of peers)
    await command(["ip", "-n", host.netns, "route", "replace", cidr, "via", via, "dev", "eth0"]);
  const iptables = [...enterNetns(host, rootfs), "iptables"];
  for (const cidr of ownCidrs) {
    const rule = ["FORWARD", "-i", "eth0", "-d", cidr, "-j", "ACCEPT"];
    const present = await tryCommand([...iptables, "-C", ...rule]);
    if (present.code !== 0) await command([...iptables, "-I", ...rule]);
  }
}

/** Drops silently, as a partition does: no interface goes down and no connection is refused. */
export async function cutNetwork(host: HostNames, rootfs: string, cut: Cut): Promise<void> {
  const input = "chain in {\n type filter hook prerouting priority -400\n iifname eth0 drop\n }";
  const output = "chain out {\n type filter hook postrouting priority 400\n oifname eth0 drop\n }";
  const chains = cut === "in" ? input : cut === "out" ? output : `${input}\n${output}`;
  const rules = `${withoutCut}table inet ${cutTable} {\n${chains}\n}\n`;
  await command([...enterNetns(host, rootfs), "nft", "-f", "-"], { input: rules });
}

export async function healNetwork(host: HostNames, rootfs: string): Promise<void> {
  await command([...enterNetns(host, rootfs), "nft", "-f", "-"], { input: withoutCut });
}

/**
 * The host's own nft and iptables, in its network: an older nft of the machine crashes over rules that a newer
 * iptables made (1.0.6 over 1.8.11, seen). Works whether the host runs or not.
 */
function enterNetns(host: HostNames, rootfs: string): string[] {
  return ["nsenter", `--net=${host.netnsPath}`, `--root=${rootfs}`];
}

function interfaceExists(name: string): boolean {
  return existsSync(`/sys/class/net/${name}`);
}
