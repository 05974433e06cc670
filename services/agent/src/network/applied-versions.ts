/**
 * Which version of each network this host holds to, told when it changes. A host holds to a version when all of it is in
 * place: its own bridge, and the networks of the environments that it is linked to.
 */
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import type { HeldNetwork } from "./core/network-state.ts";

export interface AppliedVersion {
  readonly environmentId: EnvironmentId;
  readonly version: number;
}

export class AppliedVersions {
  readonly #tell: (versions: readonly AppliedVersion[]) => void;
  #told: ReadonlyMap<EnvironmentId, number> = new Map();

  constructor(tell: (versions: readonly AppliedVersion[]) => void) {
    this.#tell = tell;
  }

  /** @param held as it was when the round began that put it in place @param used environments with jobs here */
  note(held: readonly HeldNetwork[], standing: ReadonlySet<string>, used: ReadonlySet<string>): void {
    const whole = held.filter(
      ({ environmentId, state, network }) =>
        state === "joined" &&
        standing.has(environmentId) &&
        (!used.has(environmentId) || network.links.every((link) => standing.has(link.environmentId))),
    );
    const now = new Map(whole.map(({ environmentId, network }) => [environmentId, network.version]));
    const changed = [...now].filter(([id, version]) => this.#told.get(id) !== version);
    this.#told = now;
    this.#send(changed);
  }

  /** Only who runs where changed: whoever held to the version before holds to this one. */
  noteNames(environmentId: EnvironmentId, before: number, version: number): void {
    if (this.#told.get(environmentId) !== before) return;
    this.#told = new Map([...this.#told, [environmentId, version]]);
    this.#send([[environmentId, version]]);
  }

  /** All of them once more: what was lost on the way is healed. */
  again(): void {
    this.#send([...this.#told]);
  }

  #send(versions: readonly (readonly [EnvironmentId, number])[]): void {
    if (versions.length > 0)
      this.#tell(versions.map(([environmentId, version]) => ({ environmentId, version })));
  }
}
