/** Addresses and cables of this host's containers. */
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { outputOf, runScript } from "../outbound/run-script.ts";
import {
  type CableEnd,
  type CablePlace,
  freeAddress,
  hasWay,
  layCable,
  lookAtWays,
  takeCable,
} from "./core/container-cable.ts";

export interface ContainerCablesGiven {
  /** Addresses of the containers that are here, in whatever state. */
  readonly used: () => Iterable<string>;
  /** Put before commands that look at the network, for an engine in another network namespace. */
  readonly prefix?: readonly string[];
}

export class ContainerCables {
  readonly #given: ContainerCablesGiven;
  readonly #last = new Map<string, string>();
  /** Of containers that are being made: no list has them yet. */
  readonly #making = new Map<string, string>();

  constructor(given: ContainerCablesGiven) {
    this.#given = given;
  }

  /**
   * Gives the work an address that no other container here has, or gets meanwhile.
   * @throws Error when the host's part of the environment's network is full
   */
  async withAddress<T>(
    environmentId: EnvironmentId,
    key: string,
    place: CablePlace,
    work: (address: string) => Promise<T>,
  ): Promise<T> {
    const used = new Set([...this.#given.used(), ...this.#making.values()]);
    const address = freeAddress(place, used, this.#last.get(environmentId) ?? null);
    if (address === null) throw new Error(`no address is left for a container in ${place.slice}`);
    this.#last.set(environmentId, address);
    this.#making.set(key, address);
    try {
      return await work(address);
    } finally {
      this.#making.delete(key);
    }
  }

  /** One that has its cable already is left alone. @throws CommandError when it could not be laid */
  async lay(end: CableEnd, address: string, place: CablePlace): Promise<void> {
    const { prefix = [] } = this.#given;
    const lines = layCable(end, address, place);
    const ran = await runScript(prefix, lines);
    if (ran.every(({ exitCode }) => exitCode === 0)) return;
    // It is there already, or half of it is: what an agent left that died meanwhile.
    const [ways] = await runScript(prefix, [lookAtWays(end)]);
    if (hasWay(ways?.out ?? "")) return;
    const [, ...again] = await runScript(prefix, [takeCable(end), ...lines]);
    for (const [at, line] of lines.entries()) outputOf(line, again[at] ?? { exitCode: 1, out: "" });
  }
}
