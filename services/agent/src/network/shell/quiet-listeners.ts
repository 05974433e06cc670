/**
 * Which processes are still to be told to hear only of what they go by (quiet-listeners.pl): those of tunnels and the resolvers.
 * It is done beside all else and for several at once: no join waits for it, and without it they work too.
 */
import { fileURLToPath } from "node:url";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { runCommand } from "../../outbound/run-command.ts";

const PROGRAM = fileURLToPath(new URL("./quiet-listeners.pl", import.meta.url));
/** What is done to a tunnel is done by then, and its process has made its sockets anew. */
const AFTER_MS = 1000;

export class QuietListeners {
  readonly #log: Log;
  readonly #tell: (words: readonly string[]) => Promise<unknown>;
  /** And their processes, as far as they are known. */
  readonly #tunnels = new Map<string, number | null>();
  /** Names of tunnels, pids of resolvers. */
  readonly #waiting = new Set<string>();
  #podCidr: string | null = null;
  #isUnderWay = false;

  /** @param tell runs the program with these words */
  constructor(log: Log, tell: (words: readonly string[]) => Promise<unknown> = quietListeners()) {
    this.#log = log;
    this.#tell = tell;
  }

  /** Nothing is told before it is known. */
  setPodCidr(podCidr: string): void {
    this.#podCidr = podCidr;
    this.#tellLater();
  }

  /** @param names all tunnels that are there: those that are new here are told */
  keepTunnels(names: readonly string[]): void {
    for (const name of this.#tunnels.keys()) if (!names.includes(name)) this.#tunnels.delete(name);
    for (const name of names) if (!this.#tunnels.has(name)) this.noteTunnel(name);
  }

  /** It was made, went up or got a port: its process has a socket that was told nothing. @param pid null: as before */
  noteTunnel(name: string, pid: number | null = null): void {
    this.#tunnels.set(name, pid ?? this.#tunnels.get(name) ?? null);
    this.#waiting.add(name);
    this.#tellLater();
  }

  noteResolver(pid: number): void {
    this.#waiting.add(String(pid));
    this.#tellLater();
  }

  #tellLater(): void {
    const podCidr = this.#podCidr;
    if (this.#isUnderWay || this.#waiting.size === 0 || podCidr === null) return;
    this.#isUnderWay = true;
    setTimeout(() => void this.#tellNow(podCidr), AFTER_MS).unref();
  }

  async #tellNow(podCidr: string): Promise<void> {
    const words = [...this.#waiting].map((one) => {
      const pid = this.#tunnels.get(one);
      return typeof pid === "number" ? `${one}:${pid}` : one;
    });
    this.#waiting.clear();
    await this.#tell([podCidr, ...words]).catch((error: unknown) =>
      this.#log.warn("network.listeners-hear-all", { of: words, error: describeError(error) }),
    );
    this.#isUnderWay = false;
    this.#tellLater();
  }
}

/** @param prefix put before the command */
export function quietListeners(
  prefix: readonly string[] = [],
): (words: readonly string[]) => Promise<unknown> {
  return (words) => runCommand([...prefix, "perl", PROGRAM, ...words]);
}
