/**
 * One dnsmasq per environment, on the bridge's own address. It goes on when the agent ends; the next agent knows it
 * by its configuration file, starts it again when it died, and tells it of changed names by SIGHUP.
 *
 * SRV records are read at a start only: they have a second process, which the first one asks. A changed set of ready slots
 * is a new second process beside the old one, and nothing is unanswered meanwhile. Records that only come, as while a service
 * is scaled up, wait for more of them; addresses of names never do.
 */
import { mkdirSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { InstanceName, NetworkLink } from "@berth/shared/contracts/network.ts";
import { linkHostsText } from "../core/link-names.ts";
import { hostsText, recordsConfig, resolverConfig, serversText, srvText } from "../core/names.ts";
import { type Dnsmasq, end, pidOf, read, replace, runs, start } from "./dnsmasq.ts";
import type { QuietListeners } from "./quiet-listeners.ts";

/** Between two starts of a second process for records that only come. */
const RECORDS_REST_MS = 2000;
/** Closed to containers; the second process of an environment listens at one, the next one at the other. */
const RECORD_PORTS = [5301, 5302] as const;

export type ResolverChange = "nothing" | "started" | "told";

export interface ResolverView {
  readonly gateway: string;
  readonly names: readonly InstanceName[];
  readonly links: readonly NetworkLink[];
  /** False: a name that is not known here has no answer, so no word leaves by questions. */
  readonly isAskingOutside: boolean;
}

export class Resolvers {
  readonly #folder: string;
  readonly #prefix: readonly string[];
  readonly #quiet: Pick<QuietListeners, "noteResolver"> | null;
  /** What a resolver was seen to hold and what it was told since. */
  readonly #told = new Map<string, string>();
  /** The processes of a resolver that was seen to be well; until something is done to it. */
  readonly #well = new Map<string, readonly { readonly pid: number; readonly configFile: string }[]>();
  /** Per resolver, when its second process was started last, and what it is to be told once that rested. */
  readonly #recordsAtMs = new Map<string, number>();
  readonly #waiting = new Map<string, ResolverView>();
  readonly #timed = new Set<string>();
  /** Per resolver, what is done to it last: two at once would start it twice, and one does not wait for another's. */
  readonly #last = new Map<string, Promise<unknown>>();

  /** @param folder readable by all, because a resolver has no rights; made anew after a power cut */
  constructor(
    folder: string,
    quiet: Pick<QuietListeners, "noteResolver"> | null = null,
    prefix: readonly string[] = [],
  ) {
    this.#folder = folder;
    this.#quiet = quiet;
    this.#prefix = prefix;
  }

  /** One that was told the same before is left alone. @returns what had to be done */
  async ensure(key: string, view: ResolverView): Promise<ResolverChange> {
    if (this.#told.get(key) === textOf(view)) return "nothing";
    return this.#after(key, () => this.#ensure(key, view));
  }

  /** Of a resolver that is told of: one whose processes are not as they were left is started, and told, again. */
  look(key: string, view: ResolverView): Promise<ResolverChange> {
    return this.#after(key, async () => {
      if (!this.#told.has(key) || this.#isWell(key, view)) return "nothing";
      return this.#ensure(key, view);
    });
  }

  #after<T>(key: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(key) ?? Promise.resolve()).then(work);
    const settled = result
      .catch(() => {})
      .finally(() => {
        if (this.#last.get(key) === settled) this.#last.delete(key);
      });
    this.#last.set(key, settled);
    return result;
  }

  /** The resolver runs, and of its second processes just the one that it asks. Files are read at a start only. */
  #isWell(key: string, { names }: ResolverView): boolean {
    const known = this.#well.get(key);
    if (known?.every(runs) === true) return true;
    const folder = join(this.#folder, key);
    const [present, other] = recordPorts(folder);
    const all = [filesOf(folder), recordsOf(folder, present), recordsOf(folder, other)];
    const found = all.map((one) => ({ pid: pidOf(one), configFile: one.configFile }));
    const [isMain, isPresent, isOther] = found.map(({ pid }) => pid !== null);
    for (const { pid } of found) if (pid !== null) this.#quiet?.noteResolver(pid);
    if (isMain !== true || isPresent !== (srvText(names) !== "") || isOther === true) return false;
    this.#well.set(
      key,
      found.flatMap(({ pid, configFile }) => (pid === null ? [] : [{ pid, configFile }])),
    );
    return true;
  }

  async #ensure(key: string, view: ResolverView): Promise<ResolverChange> {
    const { gateway, names, links, isAskingOutside } = view;
    const text = hostsText(names) + linkHostsText(links);
    const srv = srvText(names);
    this.#told.delete(key);
    this.#well.delete(key);
    this.#waiting.delete(key);
    const folder = join(this.#folder, key);
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const files = filesOf(folder);
    const otherNames = replace(files.hostsFile, text);
    const [records] = await Promise.allSettled([this.#ensureRecords(key, gateway, srv)]);
    if (records.status === "fulfilled" && records.value === "later") this.#waitFor(key, view);
    const otherServers = records.status === "fulfilled" && records.value === "other";
    const config = resolverConfig({ gateway, isAskingOutside, ...files });
    const done = await this.#follow(files, replace(files.configFile, config), otherNames || otherServers);
    // Names are told all the same.
    if (records.status === "rejected") throw records.reason;
    this.#told.set(key, textOf(view));
    return done;
  }

  async #follow(files: Files, otherConfig: boolean, otherFiles: boolean): Promise<ResolverChange> {
    const pid = pidOf(files);
    if (pid !== null && !otherConfig) {
      if (!otherFiles) return "nothing";
      process.kill(pid, "SIGHUP");
      return "told";
    }
    await end(files);
    await this.#start(files);
    return "started";
  }

  async #start(process_: Dnsmasq): Promise<void> {
    await start(process_, this.#prefix);
    const pid = pidOf(process_);
    if (pid !== null) this.#quiet?.noteResolver(pid);
  }

  /** What comes meanwhile is told instead. */
  #waitFor(key: string, view: ResolverView): void {
    this.#waiting.set(key, view);
    if (this.#timed.has(key)) return;
    this.#timed.add(key);
    setTimeout(() => void this.#afterRest(key), RECORDS_REST_MS).unref();
  }

  /** What fails is done again by the next look, or change. */
  async #afterRest(key: string): Promise<void> {
    this.#timed.delete(key);
    await this.#after(key, async () => {
      const view = this.#waiting.get(key);
      if (view !== undefined) await this.#ensure(key, view);
    }).catch(() => {});
  }

  /** @returns `other`: the resolver is to ask another process; the one before goes with the next call that changes nothing */
  async #ensureRecords(key: string, gateway: string, srv: string): Promise<"same" | "other" | "later"> {
    const folder = join(this.#folder, key);
    const { serversFile } = filesOf(folder);
    if (srv === "") return (await this.#dropRecords(folder)) ? "other" : "same";
    const [present, other] = recordPorts(folder);
    const config = (port: number) => recordsConfig({ gateway, port, srv, ...recordsOf(folder, port) });
    const own = recordsOf(folder, present);
    const had = pidOf(own) === null ? null : read(own.configFile);
    if (had === config(present)) {
      await end(recordsOf(folder, other));
      return "same";
    }
    const restedMs = performance.now() - (this.#recordsAtMs.get(key) ?? Number.NEGATIVE_INFINITY);
    if (had !== null && onlyGrew(had, config(present)) && restedMs < RECORDS_REST_MS) return "later";
    this.#recordsAtMs.set(key, performance.now());
    const next = recordsOf(folder, other);
    await end(next);
    replace(next.configFile, config(other));
    await this.#start(next);
    return replace(serversFile, serversText(srv, gateway, other)) ? "other" : "same";
  }

  async #dropRecords(folder: string): Promise<boolean> {
    const wasAsked = replace(filesOf(folder).serversFile, "");
    if (!wasAsked) for (const port of RECORD_PORTS) await end(recordsOf(folder, port));
    return wasAsked;
  }

  /** Ends the resolvers of environments that are not in `keys`. */
  async keepOnly(keys: ReadonlySet<string>): Promise<void> {
    for (const key of await readdir(this.#folder).catch(() => []))
      if (!keys.has(key)) await this.#after(key, () => this.#drop(key));
  }

  async #drop(key: string): Promise<void> {
    for (const map of [this.#told, this.#well, this.#waiting, this.#recordsAtMs]) map.delete(key);
    const folder = join(this.#folder, key);
    await end(filesOf(folder));
    for (const port of RECORD_PORTS) await end(recordsOf(folder, port));
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether nothing went, and no name got its first record. */
function onlyGrew(before: string, now: string): boolean {
  const lines = new Set(now.split("\n"));
  const names = (text: string) => serversText(text, "", 0);
  return before.split("\n").every((line) => lines.has(line)) && names(before) === names(now);
}

/** All that a resolver is told, as one text. */
function textOf({ gateway, names, links, isAskingOutside }: ResolverView): string {
  return [gateway, isAskingOutside, hostsText(names), linkHostsText(links), srvText(names)].join();
}

/** The port of the second process that the resolver asks, and the one for the next. */
function recordPorts(folder: string): readonly [present: number, other: number] {
  const [first, second] = RECORD_PORTS;
  const asked = read(filesOf(folder).serversFile) ?? "";
  return asked.includes(`#${second}`) ? [second, first] : [first, second];
}

interface Files extends Dnsmasq {
  readonly hostsFile: string;
  readonly serversFile: string;
}

function filesOf(folder: string): Files {
  return {
    configFile: join(folder, "dnsmasq.conf"),
    hostsFile: join(folder, "hosts"),
    serversFile: join(folder, "servers"),
    pidFile: join(folder, "pid"),
  };
}

function recordsOf(folder: string, port: number): Dnsmasq {
  return { configFile: join(folder, `records-${port}.conf`), pidFile: join(folder, `records-${port}.pid`) };
}
