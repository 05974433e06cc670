/**
 * Lines of one build on their way to people: live on the bus, and into the stored log.
 *
 * Live lines may be lost (the stored log has them all). They leave in batches, because a build can print thousands
 * of lines a second and a message has a largest size.
 */
import { DeployProgressed } from "@berth/shared/contracts/deploy.ts";
import type { DeployId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";

const BATCH_LINES = 200;
const BATCH_CHARACTERS = 200_000;
const BATCH_MS = 50;

export class BuildProgress {
  readonly #bus: Bus;
  readonly #deployId: DeployId;
  #live: string[] = [];
  #liveCharacters = 0;
  #timer: NodeJS.Timeout | undefined;
  #unstored = "";

  constructor(bus: Bus, deployId: DeployId) {
    this.#bus = bus;
    this.#deployId = deployId;
  }

  output(lines: readonly string[]): void {
    for (const line of lines) {
      this.#unstored += `${line}\n`;
      this.#live.push(line.slice(0, 16_384));
      this.#liveCharacters += line.length;
      if (this.#live.length >= BATCH_LINES || this.#liveCharacters >= BATCH_CHARACTERS) this.flush();
    }
    this.#timer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  step(text: string): void {
    this.flush();
    const lines = text.split("\n");
    this.#unstored += lines.map((line) => `-----> ${line}\n`).join("");
    this.#bus.signal(DeployProgressed, { deployId: this.#deployId, kind: "step", lines, atMs: Date.now() });
  }

  /** Sends the lines that wait. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#live.length === 0) return;
    const lines = this.#live;
    this.#live = [];
    this.#liveCharacters = 0;
    this.#bus.signal(DeployProgressed, { deployId: this.#deployId, kind: "output", lines, atMs: Date.now() });
  }

  /** The text that is not in the stored log yet; PostgreSQL takes no NUL. */
  takeUnstored(): string {
    const text = this.#unstored;
    this.#unstored = "";
    return text.replaceAll("\0", "");
  }

  /** Puts text back in front when storing it failed. */
  putBack(text: string): void {
    this.#unstored = text + this.#unstored;
  }
}
