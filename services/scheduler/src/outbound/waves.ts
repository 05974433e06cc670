/**
 * Cuts a batch into waves, and a wave into messages: whole hosts, as few messages as may be, a bounded number under way.
 */

/** Rows of one transaction. */
const WAVE_SIZE = 400;
/** The contract's limit of one message. */
const MOST_PER_MESSAGE = 50;
const MOST_UNDER_WAY = 256;

export class Waves<Sent> {
  #underWay = 0;
  readonly #waiting: (() => void)[] = [];

  /** All of one host in one wave, where it has room; what has no host goes first. */
  *cut<T>(all: readonly T[], hostOf: (one: T) => string | null): Iterable<T[]> {
    const groups = Map.groupBy(all, hostOf);
    let wave: T[] = [...(groups.get(null) ?? [])];
    for (const [host, group] of groups) {
      if (host === null) continue;
      if (wave.length > 0 && wave.length + group.length > WAVE_SIZE) {
        yield wave;
        wave = [];
      }
      wave.push(...group);
    }
    if (wave.length > 0) yield wave;
  }

  /** @param send must not throw */
  async send(
    all: readonly Sent[],
    hostOf: (one: Sent) => string,
    send: (host: string, group: readonly Sent[]) => Promise<void>,
  ): Promise<void> {
    for (const [host, group] of Map.groupBy(all, hostOf)) {
      for (let at = 0; at < group.length; at += MOST_PER_MESSAGE) {
        if (this.#underWay >= MOST_UNDER_WAY)
          await new Promise<void>((resolve) => this.#waiting.push(resolve));
        this.#underWay += 1;
        void send(host, group.slice(at, at + MOST_PER_MESSAGE)).finally(() => {
          this.#underWay -= 1;
          this.#waiting.shift()?.();
        });
      }
    }
  }
}
