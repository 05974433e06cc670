/**
 * One dnsmasq per environment, on the bridge's own address. It goes on when the agent ends; the next agent knows it
 * by its configuration file, starts it again when it died, and tells it of changed names by SIGHUP. SRV records it reads
 * at its start only: a changed set of ready slots is a new start, a few hundredths of a second without an answer.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { InstanceName, NetworkLink } from "@berth/shared/contracts/network.ts";
import { runCommand } from "../../outbound/run-command.ts";
import { linkHostsText } from "../core/link-names.ts";
import { hostsText, resolverConfig, srvText } from "../core/names.ts";
import type { Look } from "./network-hands.ts";

const PROGRAM = "/usr/sbin/dnsmasq";

type ResolverChange = "nothing" | "started" | "told";

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
  /** What a resolver was seen to hold and what it was told since. */
  readonly #told = new Map<string, { readonly text: string; readonly config: string }>();
  #last: Promise<unknown> = Promise.resolve();

  /** @param folder readable by all, because a resolver has no rights; made anew after a power cut */
  constructor(folder: string, prefix: readonly string[] = []) {
    this.#folder = folder;
    this.#prefix = prefix;
  }

  /** @param look `known`: one that was told the same before is left alone. @returns what had to be done */
  ensure(key: string, view: ResolverView, look: Look = "seen"): Promise<ResolverChange> {
    return this.#exclusively(() => this.#ensure(key, view, look));
  }

  /** One after another: two of the same environment would start it twice. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  async #ensure(key: string, view: ResolverView, look: Look): Promise<ResolverChange> {
    const { gateway, names, links, isAskingOutside } = view;
    const folder = join(this.#folder, key);
    const files = filesOf(folder);
    const text = hostsText(names) + linkHostsText(links);
    const config = resolverConfig({ gateway, isAskingOutside, ...files, srv: srvText(names) });
    const told = this.#told.get(key);
    if (look === "known" && told?.text === text && told.config === config) return "nothing";
    this.#told.delete(key);
    const done = await this.#tell(folder, text, config);
    this.#told.set(key, { text, config });
    return done;
  }

  async #tell(folder: string, text: string, config: string): Promise<ResolverChange> {
    const files = filesOf(folder);
    await mkdir(folder, { recursive: true, mode: 0o755 });
    const sameNames = (await read(files.hostsFile)) === text;
    const sameConfig = (await read(files.configFile)) === config;
    if (!sameNames) await replace(files.hostsFile, text);
    if (!sameConfig) await replace(files.configFile, config);
    const pid = await pidOf(files);
    if (pid !== null && sameConfig) {
      if (sameNames) return "nothing";
      process.kill(pid, "SIGHUP");
      return "told";
    }
    if (pid !== null) await end(pid);
    await runCommand([...this.#prefix, PROGRAM, `--conf-file=${files.configFile}`]);
    return "started";
  }

  /** Ends the resolvers of environments that are not in `keys`. */
  keepOnly(keys: ReadonlySet<string>): Promise<void> {
    return this.#exclusively(() => this.#keepOnly(keys));
  }

  async #keepOnly(keys: ReadonlySet<string>): Promise<void> {
    for (const key of await readdir(this.#folder).catch(() => [])) {
      if (keys.has(key)) continue;
      this.#told.delete(key);
      const folder = join(this.#folder, key);
      const pid = await pidOf(filesOf(folder));
      if (pid !== null) await end(pid);
      await rm(folder, { recursive: true, force: true });
    }
  }
}

interface Files {
  readonly configFile: string;
  readonly hostsFile: string;
  readonly pidFile: string;
}

function filesOf(folder: string): Files {
  return {
    configFile: join(folder, "dnsmasq.conf"),
    hostsFile: join(folder, "hosts"),
    pidFile: join(folder, "pid"),
  };
}

/** The number may long belong to somebody else: the command line decides. */
async function pidOf({ pidFile, configFile }: Files): Promise<number | null> {
  const pid = Number((await read(pidFile)) ?? 0);
  if (!Number.isInteger(pid) || pid < 2) return null;
  const words = ((await read(`/proc/${pid}/cmdline`)) ?? "").split("\0");
  return words.includes(`--conf-file=${configFile}`) ? pid : null;
}

async function end(pid: number): Promise<void> {
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    return;
  }
  // Its port must be free before the next one starts.
  for (let tries = 0; tries < 100 && (await read(`/proc/${pid}/cmdline`)) !== null; tries++)
    await new Promise((resolve) => setTimeout(resolve, 10));
}

async function read(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch(() => null);
}

async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o644 });
  await rename(`${path}.new`, path);
}
