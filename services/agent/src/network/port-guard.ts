/**
 * Binds every running container's port to the container's addresses (core/port-rules.ts).
 *
 * A port is learned right after its container's start, and by a look at all that run: an agent that starts again
 * finds those that it did not start. What cannot be found out is tried again by the next look, and is not guarded
 * until then: a container is never cut off for what its host does not know.
 */
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { SeenCable } from "../outbound/seen-cable.ts";
import type { NftTable } from "./core/nft-table.ts";
import { type Port, portTable } from "./core/port-rules.ts";

/** What the engine says of a running container. */
export interface SeenContainer extends SeenCable {
  readonly pid: number;
}

export interface PortGuardGiven {
  readonly inspect: (containerId: string) => Promise<SeenContainer | null>;
  /** @returns the host's end of the cable of a process' `eth0`, or null when there is none */
  readonly portOf: (pid: number) => Promise<string | null>;
  /** Puts the table back if it is not as it should be. */
  readonly ensureTable: (table: NftTable) => Promise<void>;
  /** The same for one that was left as it should be. */
  readonly changeTable: (table: NftTable) => Promise<void>;
  readonly log: Log;
}

interface Known extends Port {
  readonly pid: number;
}

export class PortGuard {
  readonly #given: PortGuardGiven;
  readonly #known = new Map<string, Known>();
  /** Null before the first look. */
  #gateways: readonly string[] | null = null;
  #changing: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;

  constructor(given: PortGuardGiven) {
    this.#given = given;
  }

  /** A container that was just started. Never rejects: what fails here is healed by the next look. */
  async note(containerId: string, seen: SeenContainer): Promise<void> {
    const port = await this.#learn(containerId, seen);
    if (port !== null) await this.#change();
  }

  /** Those that came meanwhile go with the next command: many starts at once cost few. */
  #change(): Promise<void> {
    this.#next ??= this.#changing.then(async () => {
      this.#next = null;
      this.#changing = this.#changeOnce();
      await this.#changing;
    });
    return this.#next;
  }

  async #changeOnce(): Promise<void> {
    if (this.#gateways === null) return;
    const table = portTable([...this.#known.values()], this.#gateways);
    await this.#given.changeTable(table).catch((error: unknown) => {
      this.#given.log.warn("port.not-guarded-yet", { error: describeError(error) });
    });
  }

  /** @param running containers of this pod that run now; all others are forgotten */
  async look(running: ReadonlySet<string>, gateways: readonly string[]): Promise<void> {
    for (const id of this.#known.keys()) if (!running.has(id)) this.#known.delete(id);
    for (const id of running) {
      if (this.#known.has(id)) continue;
      const seen = await this.#given.inspect(id).catch(() => null);
      if (seen !== null) await this.#learn(id, seen);
    }
    this.#gateways = gateways;
    await this.#given.ensureTable(portTable([...this.#known.values()], gateways));
  }

  async #learn(containerId: string, { pid, address, mac, ...seen }: SeenContainer): Promise<Port | null> {
    if (pid <= 0 || address === null || mac === null) return null;
    const device = seen.device ?? (await this.#given.portOf(pid).catch(() => null));
    if (device === null) return null;
    const port = { device, mac, address, pid };
    this.#known.set(containerId, port);
    return port;
  }
}
