/** What happened when, from one moment on, and how it is drawn: a line per event with a mark at its time. */

const widthCharacters = 44;

export interface Mark {
  /** Since the start. */
  readonly ms: number;
  readonly what: string;
}

export class Timeline {
  readonly startedAtMs: number;
  readonly #marks: Mark[] = [];

  /** @param startedAtMs wall clock: what other processes noted is put in by their own times */
  constructor(what: string, startedAtMs = Date.now()) {
    this.startedAtMs = startedAtMs;
    this.mark(what, startedAtMs);
  }

  /** @returns milliseconds since the start */
  mark(what: string, atMs = Date.now()): number {
    const ms = Math.round(atMs - this.startedAtMs);
    this.#marks.push({ ms, what });
    return ms;
  }

  /** In the order of their times. */
  get marks(): readonly Mark[] {
    return this.#marks.toSorted((a, b) => a.ms - b.ms);
  }

  draw(): string {
    const { marks } = this;
    const lastMs = Math.max(1, ...marks.map(({ ms }) => ms));
    const line = ({ ms, what }: Mark): string => {
      const at = Math.max(
        0,
        Math.min(widthCharacters - 1, Math.round((ms / lastMs) * (widthCharacters - 1))),
      );
      return `${seconds(ms).padStart(10)} ${"─".repeat(at)}●${" ".repeat(widthCharacters - 1 - at)}  ${what}`;
    };
    return marks.map(line).join("\n");
  }
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
