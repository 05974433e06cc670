/**
 * One build's output on its way out: cleaned, bounded, handed on line by line.
 *
 * Past the total limit the build is stopped through `stop`; what was printed before stays.
 */
import type { BuildFailure } from "../core/build-failure.ts";
import { LineSplitter, type OutputLimits } from "../core/limit-output.ts";

export interface BuildOutputGiven {
  readonly limits: OutputLimits;
  readonly onLines: (lines: readonly string[]) => void;
  readonly stop: (failure: BuildFailure) => void;
  /** Changes or drops (null) a line of the tool before people see it. */
  readonly show?: (line: string) => string | null;
}

const LAST_LINES = 200;

export class BuildOutput {
  readonly #given: BuildOutputGiven;
  readonly #splitter: LineSplitter;
  #last: string[] = [];
  #closed = false;

  constructor(given: BuildOutputGiven) {
    this.#given = given;
    this.#splitter = new LineSplitter(given.limits);
  }

  write(chunk: Uint8Array): void {
    if (this.#closed) return;
    const { lines, over } = this.#splitter.push(chunk);
    this.#hand(lines);
    if (!over) return;
    this.#closed = true;
    this.#given.stop({ code: "too-much-output", limitBytes: this.#given.limits.maxTotalBytes });
  }

  end(): void {
    if (!this.#closed) this.#hand(this.#splitter.end());
    this.#closed = true;
  }

  /** The last raw lines, oldest first: some tools say only there why they failed. */
  lastLines(): readonly string[] {
    return this.#last;
  }

  #hand(lines: readonly string[]): void {
    if (lines.length === 0) return;
    this.#last = [...this.#last, ...lines].slice(-LAST_LINES);
    const show = this.#given.show;
    const shown = show === undefined ? lines : lines.flatMap((line) => show(line) ?? []);
    if (shown.length > 0) this.#given.onLines(shown);
  }
}
