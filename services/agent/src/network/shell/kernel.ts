/** What the kernel has of the host's networks, and the commands that change it: links, routes, rules, packet filters. */
import { writeFile } from "node:fs/promises";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { runCommand } from "../../outbound/run-command.ts";
import { outputOf, type Ran, runScript, type ScriptLine } from "../../outbound/run-script.ts";
import { iptablesProblems, iptablesRules, TABLE } from "../core/firewall.ts";
import { isExitTable } from "../core/network-state.ts";
import {
  changeText,
  isSameShown,
  isSameTable,
  type NftTable,
  type ShownTable,
  shownAfter,
  shownTable,
  type TableFamily,
  wholeText,
} from "../core/nft-table.ts";
import { type FoundRule, isOurRule, MESH_TABLE, type Route, TUNNEL_TABLE } from "../core/routing.ts";
import { checkSourceLine, sourceChecks } from "./step-lines.ts";

/** Hundreds of links, routes or the engine's rules are a long text, and half of it is no answer. */
const MOST_OUTPUT_BYTES = 32 * 1024 * 1024;

const OUR_TABLES: ReadonlySet<number> = new Set([MESH_TABLE, TUNNEL_TABLE]);

const INTERFACES: ScriptLine = { argv: ["ip", "-j", "-d", "address", "show"] };
const ROUTES: ScriptLine = { argv: ["ip", "-j", "-4", "route", "show", "table", "all"] };
const RULES: ScriptLine = { argv: ["ip", "-j", "-4", "rule", "show"] };
const FILTER: ScriptLine = { argv: ["iptables-save", "-t", "filter"] };
/** As the engine does it: who makes a machine forward packets closes the way to all that nobody asked for. */
const FORWARDING: ScriptLine = {
  argv: [
    ...["sh", "-c", 'test "$(cat "$1")" = 1 || { iptables -w 5 -P FORWARD DROP && echo 1 > "$1"; }', "sh"],
    "/proc/sys/net/ipv4/ip_forward",
  ],
};
const tableLine = (family: TableFamily): ScriptLine => ({
  argv: ["nft", "--stateless", "list", "table", family, TABLE],
});

/** A table as it was left. */
interface AppliedTable {
  readonly table: NftTable;
  /** What the kernel shows of it; null: it was not asked. */
  readonly shown: ShownTable | null;
  /** False: `shown` is what a change should have made of it, and no look has confirmed that. */
  readonly isSeen: boolean;
}

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
  readonly #applied = new Map<TableFamily, AppliedTable>();
  readonly #last = new Map<TableFamily, Promise<void>>();
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
   * Makes a table as it should be, and puts it back whole, in one transaction, when it is not as it was left.
   * @param seen a look at it; one that a change has overtaken says nothing. Null: it is looked at now
   */
  ensureTable(table: NftTable, seen: SeenTable | null = null): Promise<void> {
    return this.#inTurn(table.family, () => this.#ensure(table, seen));
  }

  /** The same for a table that is taken to be as it was left: only what differs goes to the kernel. */
  changeTable(table: NftTable): Promise<void> {
    return this.#inTurn(table.family, () => this.#change(table));
  }

  /** What differs is known only after the change before. */
  #inTurn(family: TableFamily, work: () => Promise<void>): Promise<void> {
    const done = (this.#last.get(family) ?? Promise.resolve()).then(work);
    this.#last.set(
      family,
      done.catch(() => {}),
    );
    return done;
  }

  async #ensure(table: NftTable, seen: SeenTable | null): Promise<void> {
    const { family } = table;
    const applied = this.#applied.get(family);
    if (applied !== undefined) {
      if (seen !== null && seen.turn !== this.#turns[family]) return this.#change(table);
      if (applied.shown !== null) {
        const shown = shownTable(seen?.text ?? (await this.#show(family)));
        if (isSameShown(shown, applied.shown)) {
          this.#applied.set(family, { ...applied, isSeen: true });
          return this.#change(table);
        }
        if (applied.isSeen) this.#log.error("network.rules-were-changed", { table: `${family} ${TABLE}` });
      }
    }
    await this.#load(table, wholeText(table));
    this.#applied.set(family, { table, shown: shownTable(await this.#show(family)), isSeen: true });
  }

  async #change(table: NftTable): Promise<void> {
    const applied = this.#applied.get(table.family);
    if (applied === undefined) return this.#loadWhole(table);
    if (isSameTable(applied.table, table)) return;
    const text = changeText(applied.table, table);
    if (text === null) return this.#loadWhole(table);
    try {
      await this.#load(table, text);
    } catch (error) {
      this.#log.warn("network.rules-not-changed", { error: describeError(error) });
      return this.#loadWhole(table);
    }
    const shown = applied.shown === null ? null : shownAfter(applied.shown, applied.table, table);
    this.#applied.set(table.family, { table, shown, isSeen: false });
  }

  async #loadWhole(table: NftTable): Promise<void> {
    await this.#load(table, wholeText(table));
    this.#applied.set(table.family, { table, shown: null, isSeen: false });
  }

  /** After it nobody knows what the table is until somebody says so. */
  async #load({ family }: NftTable, text: string): Promise<void> {
    this.#applied.delete(family);
    this.#turns[family] += 1;
    try {
      await this.#run(["nft", "-f", "-"], text);
    } finally {
      this.#turns[family] += 1;
    }
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

  /** Before a container can be in the bridge. No program is started, for which a job would wait. */
  async checkSources(bridge: string): Promise<void> {
    if (this.#prefix.length > 0) return this.run([checkSourceLine(bridge, "strict")]);
    for (const [file, value] of sourceChecks(bridge, "strict")) await writeFile(file, value);
  }

  /** Interfaces that are ports of a bridge; none where there is no such bridge. */
  async portsOf(bridge: string): Promise<string[]> {
    const out = await this.#run(["ip", "-o", "link", "show", "type", "veth"]);
    const ports = out.split("\n").filter((line) => line.includes(` master ${bridge} `));
    return ports.map((line) => /^\d+: ([^@:]+)/.exec(line)?.[1] ?? "");
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
