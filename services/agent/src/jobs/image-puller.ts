/** Pulls images by digest: one pull per image however many jobs ask, and few at once. */
import pLimit from "p-limit";
import type { Engine } from "../outbound/docker.ts";

const PULLS_AT_ONCE = 3;
const STALL_MS = 60_000;

export class ImagePuller {
  readonly #engine: Engine;
  readonly #limit = pLimit(PULLS_AT_ONCE);
  readonly #underWay = new Map<string, Promise<void>>();
  readonly #pulled: () => void;

  /** @param pulled called after a pull, so that the host's bid names the new image */
  constructor(engine: Engine, pulled: () => void) {
    this.#engine = engine;
    this.#pulled = pulled;
  }

  /** Digests of the pulls under way. */
  pulling(): string[] {
    return [...this.#underWay.keys()].map((reference) => reference.split("@")[1] ?? "");
  }

  pull(reference: string, registry: string, token: string): Promise<void> {
    const running = this.#underWay.get(reference);
    if (running !== undefined) return running;
    const mine = this.#limit(() => this.#engine.pull(reference, registry, token, STALL_MS)).finally(() => {
      this.#underWay.delete(reference);
    });
    this.#underWay.set(reference, mine);
    mine.then(this.#pulled, () => {});
    return mine;
  }
}
