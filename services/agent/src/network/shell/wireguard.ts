/**
 * WireGuard interfaces: the kernel's where it has them, else one wireguard-go process per interface.
 *
 * A process is not the agent's child in any way that matters: it goes on when the agent ends, and the next agent
 * knows it by its interface, which ends with it. Keys go in by standard input, never as an argument.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { sleep } from "@berth/shared/kit/clock.ts";
import { type CommandOptions, runCommand } from "../../outbound/run-command.ts";
import type { ScriptLine } from "../../outbound/run-script.ts";
import type { Peer, Tunnel } from "../core/network-state.ts";
import type { ObservedPeer, ObservedTunnel, PeerChanges } from "../core/plan-network.ts";
import { tunnelProcesses } from "./tunnel-process.ts";

const SOCKETS = "/var/run/wireguard";
const STARTER = fileURLToPath(new URL("./start-tunnel.pl", import.meta.url));
/** Numbers of the calls `seccomp` and `write`; on other architectures the process is started without a filter. */
const CALLS: Readonly<Partial<Record<NodeJS.Architecture, readonly [string, string]>>> = {
  x64: ["317", "1"],
  arm64: ["277", "64"],
};
/** A tunnel has half of the host's cores at most. One that has fewer carries more per core, and leaves the others to apps. */
const CORES = Math.max(1, Math.floor(availableParallelism() / 2));
const STAND_MS = 5000;
/** How long a process may take to end after its interface went. */
const LEAVE_MS = 500;
const ALL_MS = 3000;
const ONE_MS = 1000;
const MOST_DUMP_BYTES = 32 * 1024 * 1024;
/** Keeps the way through address translation open, and both ends hear from each other. */
const KEEPALIVE_SECONDS = 20;

export type WireguardKind = "kernel" | "userspace";

export class Wireguard {
  readonly #program: string;
  readonly #prefix: readonly string[];
  #kind: WireguardKind | null = null;

  /** @param program path of wireguard-go; @param prefix put before every command */
  constructor(program: string, prefix: readonly string[] = []) {
    this.#program = program;
    this.#prefix = prefix;
  }

  /** Null until the first interface was made. */
  get kind(): WireguardKind | null {
    return this.#kind;
  }

  /** Makes the interface anew; one that is there but does not answer goes first. @returns its process, null: the kernel */
  async make(name: string): Promise<number | null> {
    await this.remove(name);
    if (this.#kind !== "userspace" && (await this.#makeInKernel(name))) return null;
    this.#kind = "userspace";
    const pid = await this.#start(name);
    const deadline = Date.now() + STAND_MS;
    while (!existsSync(socketOf(name)) || (await this.observeOne(name)) === null) {
      if (!isThere(pid))
        throw new Error(`${this.#program} ended at once: is it there, and is there /dev/net/tun?`);
      if (Date.now() > deadline) throw new Error(`${name} did not come up within ${STAND_MS / 1000} s`);
      await sleep(10);
    }
    return pid;
  }

  /**
   * By a shell, which ends: it is nobody's child, and a process as large as this one is not copied for it. Of the agent's own
   * environment it has the path alone. @returns its pid
   */
  async #start(name: string): Promise<number> {
    const calls = CALLS[process.arch];
    const starter = calls === undefined ? [] : ["perl", STARTER, ...calls];
    const argv = [...this.#prefix, ...starter, this.#program, "-f", name];
    const script = `cd /; setsid env -i PATH="$PATH" LOG_LEVEL=error GOMAXPROCS=${CORES} "$@" < /dev/null > /dev/null 2>&1 & echo $!`;
    return Number(await runCommand(["sh", "-c", script, "sh", ...argv]));
  }

  async #makeInKernel(name: string): Promise<boolean> {
    try {
      await this.#run(["ip", "link", "add", name, "type", "wireguard"]);
      this.#kind = "kernel";
      return true;
    } catch (error) {
      if (this.#kind === "kernel") throw error;
      return false;
    }
  }

  /** Forgets a peer with all that it was told, and adds it again: heals a handshake that a clock jump poisoned. */
  async renewPeer(tunnel: Tunnel, publicKey: string): Promise<void> {
    const peers = tunnel.peers.filter((peer) => peer.publicKey === publicKey);
    const people = tunnel.people.filter((person) => person.publicKey === publicKey);
    for (const changes of [
      { peers: [], people: [], removed: [publicKey] },
      { peers, people, removed: [] },
    ])
      await this.#run(peersLine(tunnel, changes).argv);
  }

  /** The process goes with its interface, and takes its socket along; one that hangs is killed. Nothing there is well. */
  async remove(name: string): Promise<void> {
    const socket = socketOf(name);
    const wasThere = await this.#run(["ip", "link", "delete", name]).then(
      () => true,
      () => false,
    );
    const deadline = Date.now() + (wasThere ? LEAVE_MS : 0);
    while (existsSync(socket) && Date.now() < deadline) await sleep(10);
    if (!existsSync(socket)) return;
    for (const { pid } of (await tunnelProcesses()).filter((process) => process.name === name)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended with its interface.
      }
    }
    await rm(socket, { force: true });
  }

  /** @returns the tunnels that answer, of all whose names are ours */
  async observe(names: readonly string[]): Promise<ObservedTunnel[]> {
    if (names.length === 0) return [];
    try {
      const dump = await this.#run(["wg", "show", "all", "dump"], {
        timeoutMs: ALL_MS,
        maxOutputBytes: MOST_DUMP_BYTES,
      });
      return parseDump(dump).filter(({ name }) => names.includes(name));
    } catch {
      // One that hangs must not hide the others.
      const each = await Promise.all(names.map((name) => this.observeOne(name)));
      return each.filter((tunnel) => tunnel !== null);
    }
  }

  /** @returns null when it does not answer */
  async observeOne(name: string): Promise<ObservedTunnel | null> {
    const dump = await this.#run(["wg", "show", name, "dump"], { timeoutMs: ONE_MS }).catch(() => null);
    if (dump === null) return null;
    const lines = dump.split("\n").filter(Boolean);
    return parseDump(lines.map((line) => `${name}\t${line}`).join("\n"))[0] ?? null;
  }

  #run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
    return runCommand([...this.#prefix, ...argv], options);
  }
}

/** Sets the peers that changed. Neither the others nor the port are touched, so nothing on its way is lost. */
export function peersLine(tunnel: Tunnel, { peers, people, removed }: PeerChanges): ScriptLine {
  const keepalive = keepaliveOf(tunnel);
  const words = [
    ...removed.flatMap((publicKey) => ["peer", publicKey, "remove"]),
    ...peers.flatMap((peer) => [
      ...["peer", peer.publicKey, "endpoint", endpointOf(peer)],
      ...["persistent-keepalive", keepalive, "allowed-ips", peer.allowedIps.join(",")],
    ]),
    ...people.flatMap(({ publicKey, address }) => ["peer", publicKey, "allowed-ips", `${address}/32`]),
  ];
  return { argv: ["wg", "set", tunnel.name, ...words] };
}

/** Sets key, port and peers. Sessions with peers that stay are not touched. */
export function configLine(tunnel: Tunnel): ScriptLine {
  return { argv: ["wg", "syncconf", tunnel.name, "/dev/stdin"], input: configText(tunnel) };
}

export function setUpLines({ name, mtu, address }: Tunnel): ScriptLine[] {
  return [
    { argv: ["ip", "address", "replace", `${address}/32`, "dev", name] },
    { argv: ["ip", "link", "set", name, "mtu", String(mtu), "up"] },
  ];
}

export function configText(tunnel: Tunnel): string {
  const { privateKey, port, peers, people } = tunnel;
  const keepalive = keepaliveOf(tunnel);
  const sections = peers.map(
    (peer) =>
      `[Peer]\nPublicKey = ${peer.publicKey}\nEndpoint = ${endpointOf(peer)}\n` +
      `AllowedIPs = ${peer.allowedIps.join(", ")}\nPersistentKeepalive = ${keepalive}\n`,
  );
  const ofPeople = people.map(
    ({ publicKey, address }) => `[Peer]\nPublicKey = ${publicKey}\nAllowedIPs = ${address}/32\n`,
  );
  const own = `[Interface]\nPrivateKey = ${privateKey}\nListenPort = ${port}\n`;
  return [own, ...sections, ...ofPeople].join("\n");
}

function keepaliveOf({ keepsAlive }: Tunnel): string {
  return keepsAlive === false ? "off" : String(KEEPALIVE_SECONDS);
}

function endpointOf({ nodeAddress, port }: Peer): string {
  return `${nodeAddress}:${port}`;
}

/** The output of `wg show all dump`: five fields are an interface, nine a peer. */
export function parseDump(dump: string): ObservedTunnel[] {
  const tunnels: (ObservedTunnel & { peers: ObservedPeer[] })[] = [];
  for (const line of dump.split("\n")) {
    const fields = line.split("\t");
    const [name = "", second = "", third = "", fourth = ""] = fields;
    if (fields.length === 5) tunnels.push({ name, publicKey: third, port: Number(fourth), peers: [] });
    if (fields.length !== 9) continue;
    const allowed = fields[4] ?? "";
    tunnels.at(-1)?.peers.push({
      publicKey: second,
      endpoint: fourth === "(none)" ? null : fourth,
      allowedIps: allowed === "(none)" ? [] : allowed.split(","),
      keepsAlive: fields[8] !== "off",
      handshakeAtMs: Number(fields[5]) * 1000,
      rxBytes: Number(fields[6]),
      txBytes: Number(fields[7]),
    });
  }
  return tunnels;
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function socketOf(name: string): string {
  return `${SOCKETS}/${name}.sock`;
}
