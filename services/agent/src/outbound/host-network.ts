/**
 * How this host's containers are connected: the one place that knows bridge, routes and packet rules. Encrypted
 * tunnels between hosts will replace the plain routes behind this interface.
 *
 * What must stay true: rules are in place before the first container starts, and are put back within seconds when
 * somebody flushes them; the bridge has exactly the subnet that the pod gave to this host.
 */
import { writeFile } from "node:fs/promises";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { iptablesRules, isSoundPeer, type NetworkView, nftRules, type Peer } from "../core/network-rules.ts";
import type { Engine } from "./docker.ts";
import { runCommand } from "./run-command.ts";

export interface HostNetworkGiven {
  readonly engine: Engine;
  readonly hostId: string;
  readonly nodeAddress: string;
  readonly subnet: string;
  readonly networkName: string;
  /** Put before every command, such as `nsenter --net=…` for an engine in another network namespace. */
  readonly commandPrefix?: readonly string[];
  readonly log: Log;
}

const FORWARDING = "/proc/sys/net/ipv4/ip_forward";
/** From this engine on, the gateway must be told not to hide the containers from routed neighbours. */
const FIRST_HIDING_ENGINE = 28;

export class HostNetwork {
  readonly #given: HostNetworkGiven;
  readonly #chain: string;
  readonly #table: string;
  #peers: readonly Peer[] = [];
  #revision = -1;
  #applied = "";

  constructor(given: HostNetworkGiven) {
    this.#given = given;
    this.#table = given.networkName === "berth0" ? "berth" : `berth_${given.networkName}`;
    this.#chain = `BERTH-${given.networkName.toUpperCase()}`.slice(0, 28);
  }

  /** Makes the bridge, or refuses to go on with one of another subnet. */
  async open(): Promise<void> {
    const { engine, networkName, subnet, log } = this.#given;
    const { version } = await engine.info();
    const made = await engine.ensureNetwork(networkName, this.#networkOptions(Number.parseInt(version, 10)));
    const found = await engine.networkSubnet(networkName);
    if (found !== subnet) {
      throw new Error(
        `the network ${networkName} has subnet ${found}, but this host was given ${subnet}: remove it with docker network rm`,
      );
    }
    log.info("network.open", { network: networkName, subnet, made });
    await this.verify();
  }

  #networkOptions(engineMajor: number) {
    const { networkName, subnet } = this.#given;
    const hiding =
      engineMajor >= FIRST_HIDING_ENGINE
        ? { "com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected" }
        : {};
    return {
      Name: networkName,
      Driver: "bridge",
      IPAM: { Driver: "default", Config: [{ Subnet: subnet }] },
      EnableIPv6: false,
      Options: {
        "com.docker.network.bridge.name": networkName,
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        ...hiding,
      },
      Labels: { "berth.network": "jobs" },
    };
  }

  /** Takes a whole list of hosts; an older one is ignored. */
  async setPeers(revision: number, peers: readonly Peer[]): Promise<void> {
    if (revision < this.#revision) return;
    this.#revision = revision;
    const sound = peers.filter(isSoundPeer);
    if (sound.length < peers.length)
      this.#given.log.error("network.peer-refused", { refused: peers.filter((peer) => !isSoundPeer(peer)) });
    this.#peers = sound.filter(({ hostId }) => hostId !== this.#given.hostId);
    await this.verify();
  }

  #view(): NetworkView {
    const { networkName, subnet, nodeAddress } = this.#given;
    const others = this.#peers.filter((peer) => peer.nodeAddress !== nodeAddress);
    return {
      bridge: networkName,
      table: this.#table,
      subnet,
      nodeAddresses: [nodeAddress, ...others.map((peer) => peer.nodeAddress)],
      peerAddresses: others.map((peer) => peer.nodeAddress),
      subnets: [subnet, ...this.#peers.map((peer) => peer.subnet)],
    };
  }

  /** Puts everything back as it must be. Cheap when it is: called every few seconds. */
  async verify(): Promise<void> {
    const view = this.#view();
    await this.#ensureForwarding();
    await this.#ensureTable(nftRules(view));
    await this.#ensureChain(view);
    for (const peer of this.#peers) {
      if (peer.nodeAddress === this.#given.nodeAddress) continue;
      await this.#run(["ip", "route", "replace", peer.subnet, "via", peer.nodeAddress]).catch(
        (error: unknown) =>
          this.#given.log.warn("network.route-failed", {
            peer: peer.hostId,
            subnet: peer.subnet,
            error: describeError(error),
          }),
      );
    }
  }

  async #ensureForwarding(): Promise<void> {
    if (this.#given.commandPrefix !== undefined) {
      await this.#run(["sh", "-c", `echo 1 > ${FORWARDING}`]);
      return;
    }
    await writeFile(FORWARDING, "1\n");
  }

  async #ensureTable(rules: string): Promise<void> {
    const there = await this.#run(["nft", "list", "chain", "inet", this.#table, "from_container"]).catch(
      () => "",
    );
    if (there.includes("drop") && this.#applied === rules) return;
    await this.#run(["nft", "-f", "-"], rules);
    this.#applied = rules;
  }

  async #ensureChain(view: NetworkView): Promise<void> {
    await this.#run(["iptables-restore", "--noflush", "--wait=5"], iptablesRules(view, this.#chain));
    const parent = await this.#run(["iptables", "-w", "5", "-n", "-L", "DOCKER-USER"]).then(
      () => "DOCKER-USER",
      () => "FORWARD",
    );
    const jump = [parent, "-j", this.#chain];
    const isThere = await this.#run(["iptables", "-w", "5", "-C", ...jump]).then(
      () => true,
      () => false,
    );
    if (!isThere) await this.#run(["iptables", "-w", "5", "-I", ...jump]);
  }

  #run(argv: readonly string[], input?: string): Promise<string> {
    const whole = [...(this.#given.commandPrefix ?? []), ...argv];
    return runCommand(whole, input === undefined ? {} : { input });
  }
}
