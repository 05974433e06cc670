/** Looks at images and pulls them by digest: one call per image however many jobs ask, and few pulls at once. */
import pLimit from "p-limit";
import type { Engine, ImageFacts } from "../outbound/docker.ts";

const PULLS_AT_ONCE = 3;
const STALL_MS = 60_000;
/** What a digest names does not change; that it is there is found out by the create at the latest. */
const FRESH_MS = 5000;

export class ImagePuller {
  readonly #engine: Engine;
  readonly #limit = pLimit(PULLS_AT_ONCE);
  readonly #underWay = new Map<string, Promise<void>>();
  readonly #looks = new Map<string, { readonly atMs: number; readonly facts: Promise<ImageFacts | null> }>();
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

  /** @returns null when the image is not on this host; what was found is remembered for some seconds */
  look(reference: string): Promise<ImageFacts | null> {
    const nowMs = performance.now();
    const known = this.#looks.get(reference);
    if (known !== undefined && nowMs - known.atMs < FRESH_MS) return known.facts;
    for (const [other, { atMs }] of this.#looks) if (nowMs - atMs >= FRESH_MS) this.#looks.delete(other);
    const facts = this.#engine.image(reference);
    const entry = { atMs: nowMs, facts };
    this.#looks.set(reference, entry);
    const drop = () => {
      if (this.#looks.get(reference) === entry) this.#looks.delete(reference);
    };
    facts.then((found) => found === null && drop(), drop);
    return facts;
  }

  /** Looks again, whatever is remembered. */
  lookAgain(reference: string): Promise<ImageFacts | null> {
    this.#looks.delete(reference);
    return this.look(reference);
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
