/** Addresses and cables of this host's containers. */
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import { outputOf, runScript } from "../outbound/run-script.ts";
import {
  type CableEnd,
  type CablePlace,
  freeAddress,
  hasWay,
  isFree,
  layCable,
  lookAtWays,
  takeCable,
} from "./core/container-cable.ts";

export interface ContainerCablesGiven {
  /** Addresses of other jobs' containers that are here, in whatever state. */
  readonly usedBeside: (jobId: string) => Iterable<string>;
  /** Put before commands that look at the network, for an engine in another network namespace. */
  readonly prefix?: readonly string[];
}

export interface AddressAsk {
  readonly jobId: string;
  readonly environmentId: EnvironmentId;
  /** The job's last one here. */
  readonly wanted: string | null;
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
   * Gives the work an address that no other job's container here has, or gets meanwhile: the wanted one if it is free.
   * @throws Error when the host's part of the environment's network is full
   */
  async withAddress<T>(
    { jobId, environmentId, wanted }: AddressAsk,
    place: CablePlace,
    work: (address: string) => Promise<T>,
  ): Promise<T> {
    const used = new Set([...this.#given.usedBeside(jobId), ...this.#making.values()]);
    const last = this.#last.get(environmentId) ?? null;
    const address = isFree(place, used, wanted) ? wanted : freeAddress(place, used, last);
    if (address === null) throw new Error(`no address is left for a container in ${place.slice}`);
    if (address !== wanted) this.#last.set(environmentId, address);
    this.#making.set(jobId, address);
    try {
      return await work(address);
    } finally {
      this.#making.delete(jobId);
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
