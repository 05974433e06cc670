/** What the kernel has of the host's networks, and the commands that change it: links, routes, rules, packet filters. */
import type { Log } from "@berth/shared/kit/log.ts";
import { runCommand } from "../../outbound/run-command.ts";
import { outputOf, type Ran, runScript, type ScriptLine } from "../../outbound/run-script.ts";
import { iptablesProblems, iptablesRules, TABLE } from "../core/firewall.ts";
import { isExitTable } from "../core/network-state.ts";
import { type FoundRule, isOurRule, MESH_TABLE, type Route, TUNNEL_TABLE } from "../core/routing.ts";

/** `inet`: what passes the host. `bridge`: what comes out of containers' ports. */
export type TableFamily = "inet" | "bridge";

/** Hundreds of links, routes or the engine's rules are a long text, and half of it is no answer. */
const MOST_OUTPUT_BYTES = 32 * 1024 * 1024;

const OUR_TABLES: ReadonlySet<number> = new Set([MESH_TABLE, TUNNEL_TABLE]);

const INTERFACES: ScriptLine = { argv: ["ip", "-j", "-d", "address", "show"] };
const ROUTES: ScriptLine = { argv: ["ip", "-j", "-4", "route", "show", "table", "all"] };
const RULES: ScriptLine = { argv: ["ip", "-j", "-4", "rule", "show"] };
const FILTER: ScriptLine = { argv: ["iptables-save", "-t", "filter"] };
const FORWARDING: ScriptLine = { argv: ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"] };
const tableLine = (family: TableFamily): ScriptLine => ({
  argv: ["nft", "--stateless", "list", "table", family, TABLE],
});

export interface NetworkInterface {
  readonly name: string;
  readonly mtu: number;
  readonly addresses: readonly string[];
  /** As `ip` names it: `bridge`, `tun`, `wireguard`, `veth`; empty for a card. */
  readonly kind: string;
}

/** What a table was seen to be. `turn` tells whether it was changed since. */
export interface SeenTable {
  readonly text: string;
  readonly turn: number;
}

/** The packet filter: our table, and what `iptables-save` printed. */
export interface SeenFilter {
  readonly table: SeenTable;
  readonly chains: string;
}

export interface KernelLook {
  readonly interfaces: readonly NetworkInterface[];
  /** Of our tables. */
  readonly routes: readonly Route[];
  /** Of the rules that are ours. */
  readonly rulePriorities: readonly number[];
  readonly filter: SeenFilter;
}

export class Kernel {
  readonly #prefix: readonly string[];
  readonly #log: Log;
  /** Per family of tables: the text that was applied, and what the kernel showed of it right after, if it was asked. */
  readonly #applied = new Map<TableFamily, { readonly rules: string; readonly shown: string | null }>();
  /** Grows before and after each change of a table. */
  readonly #turns = { inet: 0, bridge: 0 };

  /** @param prefix put before every command, such as `nsenter --net=…` */
  constructor(log: Log, prefix: readonly string[] = []) {
    this.#prefix = prefix;
    this.#log = log;
  }

  /** All that the kernel has of our networks, by one shell. It also makes sure that the host forwards packets. */
  async look(): Promise<KernelLook> {
    const lines = [INTERFACES, ROUTES, RULES, FILTER, tableLine("inet"), FORWARDING];
    const turn = this.#turns.inet;
    const ran = await runScript(this.#prefix, lines, { maxOutputBytes: MOST_OUTPUT_BYTES });
    const text = (at: number) => outputOf(lines[at] as ScriptLine, ran[at] as Ran);
    return {
      interfaces: interfacesOf(text(0)),
      routes: routesOf(text(1)),
      rulePriorities: parsed<FoundRule>(text(2))
        .filter(isOurRule)
        .map(({ priority }) => priority),
      // Without the table there is nothing to show.
      filter: { table: { text: ran[4]?.exitCode === 0 ? ran[4].out : "", turn }, chains: text(3) },
    };
  }

  async interfaces(): Promise<NetworkInterface[]> {
    return interfacesOf(await this.#run(INTERFACES.argv));
  }

  /**
   * Puts our table back when it is not exactly what was applied, in one transaction.
   * @param seen a look at it; one that a change has overtaken says nothing, and that change put the whole in place.
   *   Null: it is looked at now
   */
  async ensureTable(family: TableFamily, rules: string, seen: SeenTable | null = null): Promise<void> {
    const applied = this.#applied.get(family);
    if (rules === applied?.rules) {
      if (seen !== null && seen.turn !== this.#turns[family]) return;
      if (applied.shown !== null) {
        if ((seen?.text ?? (await this.#show(family))) === applied.shown) return;
        this.#log.error("network.rules-were-changed", { table: `${family} ${TABLE}` });
      }
    }
    await this.#load(family, rules, rules);
    this.#applied.set(family, { rules, shown: await this.#show(family) });
  }

  /** The same without a look at what is there, which the next `ensureTable` takes. */
  async changeTable(family: TableFamily, rules: string): Promise<void> {
    if (this.#applied.get(family)?.rules === rules) return;
    await this.#load(family, rules, rules);
  }

  /** More elements for sets of a table that stands; the next `ensureTable` puts the whole in place. */
  addElements(family: TableFamily, text: string): Promise<void> {
    return this.#load(family, text, null);
  }

  /** @param whole what the table is after it; null when nobody knows */
  async #load(family: TableFamily, text: string, whole: string | null): Promise<void> {
    this.#applied.delete(family);
    this.#turns[family] += 1;
    try {
      await this.#run(["nft", "-f", "-"], text);
    } finally {
      this.#turns[family] += 1;
    }
    if (whole !== null) this.#applied.set(family, { rules: whole, shown: null });
  }

  async #show(family: TableFamily): Promise<string> {
    return this.#run(tableLine(family).argv).catch(() => "");
  }

  /** Our chains whole, and their jumps before the engine's rules. @param saved what `iptables-save` printed lately */
  async ensureChains(saved: string): Promise<void> {
    const problems = iptablesProblems(saved);
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

  /** Lines that belong together: the first that fails is what went wrong. */
  async run(lines: readonly ScriptLine[]): Promise<void> {
    const ran = await runScript(this.#prefix, lines);
    for (const [i, line] of lines.entries()) outputOf(line, ran[i] as Ran);
  }

  #run(argv: readonly string[], input?: string): Promise<string> {
    const options = { maxOutputBytes: MOST_OUTPUT_BYTES };
    return runCommand([...this.#prefix, ...argv], input === undefined ? options : { ...options, input });
  }
}

function interfacesOf(text: string): NetworkInterface[] {
  const found = parsed<{
    ifname: string;
    mtu: number;
    linkinfo?: { info_kind?: string };
    addr_info: { family: string; local: string; prefixlen: number }[];
  }>(text);
  return found.map(({ ifname, mtu, linkinfo, addr_info }) => ({
    name: ifname,
    mtu,
    kind: linkinfo?.info_kind ?? "",
    addresses: addr_info
      .filter(({ family }) => family === "inet")
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  }));
}

function routesOf(text: string): Route[] {
  return parsed<{ table?: string; dst: string; dev?: string; prefsrc?: string }>(text).flatMap(
    ({ table, dst, dev, prefsrc }) =>
      dev !== undefined && isOurs(Number(table), dev)
        ? [{ table: Number(table), to: dst, device: dev, source: prefsrc ?? null }]
        : [],
  );
}

function parsed<T>(text: string): T[] {
  return text.trim() === "" ? [] : (JSON.parse(text) as T[]);
}

/** In the wide range of exits others have tables too: ours lead into a tunnel of ours. */
function isOurs(table: number, device: string): boolean {
  return OUR_TABLES.has(table) || (isExitTable(table) && device.startsWith("wb-"));
}
