/**
 * Names of instances, which change with every start: told to the environment's resolver and kept on disk some moments
 * later, many changes at once. Bridges, tunnels and rules have nothing to do with them.
 */
import type { EnvironmentNetwork } from "@berth/shared/contracts/network.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { DesiredNetwork, HeldNetwork } from "./core/network-state.ts";
import type { NetworkFiles } from "./shell/network-files.ts";
import type { ResolverChange, Resolvers, ResolverView } from "./shell/resolvers.ts";
import type { Standing } from "./standing.ts";

/** Answers of a resolver may be kept for 5 s anyway, and a changed set of slots ends its process. */
const GATHER_MS = 200;

export interface NameKeeperGiven {
  readonly resolvers: Resolvers;
  readonly files: NetworkFiles;
  readonly log: Log;
  readonly held: (environmentId: string) => HeldNetwork | undefined;
  readonly desired: () => readonly DesiredNetwork[];
  /** A resolver listens on its environment's bridge: those of the others are told when theirs is made. */
  readonly standing: Pick<Standing, "has">;
}

export class NameKeeper {
  readonly #given: NameKeeperGiven;
  readonly #changed = new Set<string>();
  #running = false;

  constructor(given: NameKeeperGiven) {
    this.#given = given;
  }

  /** The names that the environment holds are others than before. */
  noteChanged(environmentId: string): void {
    this.#changed.add(environmentId);
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#changed.size > 0) await this.#tellChanged();
    } finally {
      this.#running = false;
    }
  }

  async #tellChanged(): Promise<void> {
    await sleep(GATHER_MS);
    const changed = new Set(this.#changed);
    this.#changed.clear();
    const desired = this.#standing(this.#given.desired());
    for (const network of desired) if (changed.has(network.environmentId)) await this.tell(network);
    for (const environmentId of changed) await this.#keep(environmentId);
  }

  /** A file that is behind costs nothing: whoever reads it asks for what is newer. */
  async #keep(environmentId: string): Promise<void> {
    const { files, held, log } = this.#given;
    const network = held(environmentId);
    if (network === undefined) return;
    await files
      .save(network)
      .catch((error: unknown) => log.warn("network.names-not-kept", { error: describeError(error) }));
  }

  #standing(networks: readonly DesiredNetwork[]): readonly DesiredNetwork[] {
    return networks.filter(({ environmentId }) => this.#given.standing.has(environmentId));
  }

  /** Of an environment whose bridge is there. One that was told the same before is left alone. */
  tell(network: DesiredNetwork): Promise<void> {
    return this.#try(network, (view) => this.#given.resolvers.ensure(network.bridge, view));
  }

  /** These, and no other environment. */
  async tellAll(networks: readonly DesiredNetwork[]): Promise<void> {
    for (const network of this.#standing(networks)) await this.tell(network);
    await this.#given.resolvers.keepOnly(new Set(networks.map(({ bridge }) => bridge)));
  }

  /** Starts what died, of those that were told. */
  async lookAtAll(networks: readonly DesiredNetwork[]): Promise<void> {
    for (const network of this.#standing(networks))
      await this.#try(network, (view) => this.#given.resolvers.look(network.bridge, view));
  }

  /** Names are no reason to hold up a start: what fails is tried again in the next round. */
  async #try(
    { environmentId, gateway, egress }: DesiredNetwork,
    work: (view: ResolverView) => Promise<ResolverChange>,
  ): Promise<void> {
    const { held, log } = this.#given;
    const { names = [], links = [] } = held(environmentId)?.network ?? {};
    try {
      const done = await work({ gateway, names, links, isAskingOutside: egress.mode !== "none" });
      if (done === "started") log.info("resolver.started", { environmentId, gateway });
    } catch (error) {
      log.warn("resolver.failed", { environmentId, error: describeError(error) });
    }
  }
}

/** True when a network is the same but for who runs where in it. */
export function onlyNamesDiffer(before: EnvironmentNetwork, after: EnvironmentNetwork): boolean {
  const rest = (network: EnvironmentNetwork) => JSON.stringify({ ...network, version: 0, names: [] });
  return rest(before) === rest(after);
}
