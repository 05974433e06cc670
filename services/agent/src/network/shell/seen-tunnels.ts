/**
 * What tunnels were seen to be. A question to all of them costs as much as they are, and what they count is wanted every
 * ten seconds only; so between two such questions only those are asked that are new or that something was done to.
 */
import type { ObservedTunnel } from "../core/plan-network.ts";
import type { Wireguard } from "./wireguard.ts";

/** Well below the time after which a silent tunnel is taken for stalled (core/judge-peer.ts). */
const ALL_EVERY_MS = 10_000;
/** More than these are asked by one question to all. */
const MOST_ALONE = 8;

export class SeenTunnels {
  readonly #wireguard: Pick<Wireguard, "observe" | "observeOne">;
  readonly #nowMs: () => number;
  readonly #seen = new Map<string, ObservedTunnel>();
  readonly #changed = new Set<string>();
  #allAtMs = Number.NEGATIVE_INFINITY;

  /** @param nowMs monotonic */
  constructor(wireguard: Pick<Wireguard, "observe" | "observeOne">, nowMs: () => number) {
    this.#wireguard = wireguard;
    this.#nowMs = nowMs;
  }

  /** Something is done to it: it is asked again. Told after it was done. */
  noteChanged(name: string): void {
    this.#changed.add(name);
  }

  /** @param names interfaces that are there @returns those of them that answer, or did when they were asked last */
  async observe(names: readonly string[]): Promise<ObservedTunnel[]> {
    const nowMs = this.#nowMs();
    const unknown = names.filter((name) => this.#changed.has(name) || !this.#seen.has(name));
    if (nowMs - this.#allAtMs >= ALL_EVERY_MS || unknown.length > MOST_ALONE)
      await this.#askAll(names, nowMs);
    else await Promise.all(unknown.map((name) => this.#askOne(name)));
    for (const name of this.#seen.keys()) if (!names.includes(name)) this.#seen.delete(name);
    return names.flatMap((name) => this.#seen.get(name) ?? []);
  }

  async #askAll(names: readonly string[], nowMs: number): Promise<void> {
    this.#changed.clear();
    const found = await this.#wireguard.observe(names);
    this.#seen.clear();
    for (const tunnel of found) this.#seen.set(tunnel.name, tunnel);
    this.#allAtMs = nowMs;
  }

  async #askOne(name: string): Promise<void> {
    this.#changed.delete(name);
    const found = await this.#wireguard.observeOne(name);
    if (found === null) this.#seen.delete(name);
    else this.#seen.set(name, found);
  }
}
