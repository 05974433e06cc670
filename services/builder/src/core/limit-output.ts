/**
 * Turns a build's raw output into clean, bounded lines.
 *
 * A line is at most `maxLineBytes`; the rest of a longer one is dropped and marked. Control characters go
 * (terminal escapes could forge what the pusher sees), except colours. A carriage return starts the line over, as
 * a terminal would show it. When the total passes `maxTotalBytes`, `push` answers "over" and the caller stops
 * the build.
 */
export interface OutputLimits {
  readonly maxLineBytes: number;
  readonly maxTotalBytes: number;
}

const COLOUR = /\u001B\[[0-9;]{0,16}m/g;

export class LineSplitter {
  readonly #limits: OutputLimits;
  readonly #decoder = new TextDecoder("utf-8");
  #held = "";
  #dropping = false;
  #totalBytes = 0;

  constructor(limits: OutputLimits) {
    this.#limits = limits;
  }

  push(chunk: Uint8Array): { readonly lines: readonly string[]; readonly over: boolean } {
    this.#totalBytes += chunk.byteLength;
    const lines: string[] = [];
    const parts = this.#decoder.decode(chunk, { stream: true }).split("\n");
    for (const [index, part] of parts.entries()) {
      this.#hold(part);
      if (index < parts.length - 1) lines.push(this.#take());
    }
    return { lines, over: this.#totalBytes > this.#limits.maxTotalBytes };
  }

  /** What is left when the output ends without a line break. */
  end(): readonly string[] {
    return this.#held === "" ? [] : [this.#take()];
  }

  #hold(part: string): void {
    if (this.#dropping) return;
    this.#held += part;
    if (this.#held.length <= this.#limits.maxLineBytes) return;
    this.#held = `${this.#held.slice(0, this.#limits.maxLineBytes)} [line cut]`;
    this.#dropping = true;
  }

  #take(): string {
    const line = this.#held;
    this.#held = "";
    this.#dropping = false;
    return cleanLine(line);
  }
}

export function cleanLine(line: string): string {
  const shown = line.replace(/\r+$/, "").split("\r").at(-1) ?? "";
  let clean = "";
  let at = 0;
  for (const match of shown.matchAll(COLOUR)) {
    clean += strip(shown.slice(at, match.index)) + match[0];
    at = match.index + match[0].length;
  }
  return clean + strip(shown.slice(at));
}

function strip(text: string): string {
  // Also other escape sequences as a whole, so that their letters do not stay behind as noise.
  return text
    .replace(/\u001B(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001B]*(?:\u0007|\u001B\\)?|[@-Z\\-_])/g, "")
    .replace(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/g, "");
}
