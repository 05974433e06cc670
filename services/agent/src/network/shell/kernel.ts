/** What the kernel has of the host's networks, and the commands that change it: links, routes, rules, packet filters. */
import type { Log } from "@berth/shared/kit/log.ts";
import { runCommand } from "../../outbound/run-command.ts";
import { iptablesProblems, iptablesRules, TABLE } from "../core/firewall.ts";
import { isExitTable } from "../core/network-state.ts";
import {
  type FoundRule,
  isOurRule,
  MESH_TABLE,
  type Route,
  type RoutingRule,
  TUNNEL_TABLE,
} from "../core/routing.ts";

/** `inet`: what passes the host. `bridge`: what comes out of containers' ports. */
export type TableFamily = "inet" | "bridge";

/** Hundreds of links, routes or the engine's rules are a long text, and half of it is no answer. */
const MOST_OUTPUT_BYTES = 32 * 1024 * 1024;

const OUR_TABLES: ReadonlySet<number> = new Set([MESH_TABLE, TUNNEL_TABLE]);
/** Others than us hardly ever turn it off, and a look costs as much as the setting. */
const FORWARDING_AGAIN_MS = 2500;

export interface NetworkInterface {
  readonly name: string;
  readonly mtu: number;
  readonly addresses: readonly string[];
  /** As `ip` names it: `bridge`, `tun`, `wireguard`, `veth`; empty for a card. */
  readonly kind: string;
}

export class Kernel {
  readonly #prefix: readonly string[];
  readonly #log: Log;
  #forwardingAtMs = Number.NEGATIVE_INFINITY;
  /** Per family of tables: the text that was applied, and what the kernel showed of it right after, if it was asked. */
  readonly #applied = new Map<TableFamily, { readonly rules: string; readonly shown: string | null }>();

  /** @param prefix put before every command, such as `nsenter --net=…` */
  constructor(log: Log, prefix: readonly string[] = []) {
    this.#prefix = prefix;
    this.#log = log;
  }

  /** All interfaces, with their IPv4 networks as `address/bits`. One program for all that is asked of them. */
  async interfaces(): Promise<NetworkInterface[]> {
    const found = await this.#json<{
      ifname: string;
      mtu: number;
      linkinfo?: { info_kind?: string };
      addr_info: { family: string; local: string; prefixlen: number }[];
    }>(["ip", "-j", "-d", "address", "show"]);
    return found.map(({ ifname, mtu, linkinfo, addr_info }) => ({
      name: ifname,
      mtu,
      kind: linkinfo?.info_kind ?? "",
      addresses: addr_info
        .filter(({ family }) => family === "inet")
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    }));
  }

  /** Of our tables. */
  async routes(): Promise<Route[]> {
    const found = await this.#json<{ table?: string; dst: string; dev?: string; prefsrc?: string }>([
      ...["ip", "-j", "-4", "route", "show", "table", "all"],
    ]);
    return found.flatMap(({ table, dst, dev, prefsrc }) =>
      dev !== undefined && isOurs(Number(table), dev)
        ? [{ table: Number(table), to: dst, device: dev, source: prefsrc ?? null }]
        : [],
    );
  }

  /** Of the rules that are ours. */
  async rulePriorities(): Promise<number[]> {
    const found = await this.#json<FoundRule>(["ip", "-j", "-4", "rule", "show"]);
    return found.filter(isOurRule).map(({ priority }) => priority);
  }

  async addRule({ priority, words }: RoutingRule): Promise<void> {
    await this.#run(["ip", "-4", "rule", "add", "priority", String(priority), ...words]);
  }

  async removeRule(priority: number): Promise<void> {
    await this.#run(["ip", "-4", "rule", "delete", "priority", String(priority)]);
  }

  async setRoute({ table, to, device, source }: Route): Promise<void> {
    const from = source === null ? [] : ["src", source];
    await this.#run(["ip", "-4", "route", "replace", to, "dev", device, ...from, "table", String(table)]);
  }

  async removeRoute({ table, to }: Route): Promise<void> {
    await this.#run(["ip", "-4", "route", "delete", to, "table", String(table)]).catch(() => {});
  }

  /** The way back is looked for with the packet's mark, and must be there: strictly there, for a bridge. */
  async checkSource(name: string, how: "strict" | "loose"): Promise<void> {
    const settings = 'echo 1 > "$1/src_valid_mark"; echo "$2" > "$1/rp_filter"';
    const folder = `/proc/sys/net/ipv4/conf/${name}`;
    await this.#run(["sh", "-ec", settings, "sh", folder, how === "strict" ? "1" : "2"]);
  }

  async forwarding(): Promise<void> {
    if (performance.now() - this.#forwardingAtMs < FORWARDING_AGAIN_MS) return;
    this.#forwardingAtMs = performance.now();
    await this.#run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
  }

  /** Puts our table back when it is not exactly what was applied, in one transaction. */
  async ensureTable(family: TableFamily, rules: string): Promise<void> {
    const applied = this.#applied.get(family);
    const isAsked = rules === applied?.rules && applied.shown !== null;
    if (isAsked && (await this.#shown(family)) === applied.shown) return;
    if (isAsked) this.#log.error("network.rules-were-changed", { table: `${family} ${TABLE}` });
    await this.#run(["nft", "-f", "-"], rules);
    this.#applied.set(family, { rules, shown: await this.#shown(family) });
  }

  /** The same without a look at what is there, which the next `ensureTable` takes. */
  async changeTable(family: TableFamily, rules: string): Promise<void> {
    if (this.#applied.get(family)?.rules === rules) return;
    await this.#run(["nft", "-f", "-"], rules);
    this.#applied.set(family, { rules, shown: null });
  }

  async #shown(family: TableFamily): Promise<string> {
    return this.#run(["nft", "--stateless", "list", "table", family, TABLE]).catch(() => "");
  }

  /** More elements for sets of a table that stands; the next `ensureTable` puts the whole in place. */
  async addElements(family: TableFamily, text: string): Promise<void> {
    this.#applied.delete(family);
    await this.#run(["nft", "-f", "-"], text);
  }

  /** Our chains whole, and their jumps before the engine's rules. */
  async ensureChains(): Promise<void> {
    const problems = iptablesProblems(await this.#run(["iptables-save", "-t", "filter"]));
    if (problems.chains) await this.#run(["iptables-restore", "--noflush", "--wait=5"], iptablesRules());
    for (const { parent, chain } of problems.jumps) {
      await this.#iptables(["-I", parent, "1", "-j", chain]);
      // The one that stood further down, if any, goes after the new one stands.
      await this.#removeSecond(parent, chain);
    }
  }

  async #removeSecond(parent: string, chain: string): Promise<void> {
    const rules = (await this.#iptables(["-S", parent])).split("\n").filter((line) => line.startsWith("-A "));
    const places = rules.flatMap((line, index) => (line === `-A ${parent} -j ${chain}` ? [index + 1] : []));
    for (const place of places.slice(1).reverse()) await this.#iptables(["-D", parent, String(place)]);
  }

  #iptables(args: readonly string[]): Promise<string> {
    return this.#run(["iptables", "-w", "5", ...args]);
  }

  async #json<T>(argv: readonly string[]): Promise<T[]> {
    const text = await this.#run(argv);
    return text.trim() === "" ? [] : (JSON.parse(text) as T[]);
  }

  #run(argv: readonly string[], input?: string): Promise<string> {
    const options = { maxOutputBytes: MOST_OUTPUT_BYTES };
    return runCommand([...this.#prefix, ...argv], input === undefined ? options : { ...options, input });
  }
}

/** In the wide range of exits others have tables too: ours lead into a tunnel of ours. */
function isOurs(table: number, device: string): boolean {
  return OUR_TABLES.has(table) || (isExitTable(table) && device.startsWith("wb-"));
}
