/**
 * The job containers whose logs are read: the engine's events name those to ask for, and every 30 s all are listed. Changes of their folders tell
 * which have something to read; now and then all are looked at. One loop reads all of them, a buffer of each in turn, so
 * memory is bounded and a loud app does not keep the others waiting.
 */

import { dirname } from "node:path";
import { EnvironmentId, ServiceId } from "@berth/shared/domain/ids.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { JobContainer, LogSource } from "../outbound/docker.ts";
import { FolderWatch } from "../outbound/folder-watch.ts";
import { LogTail, type TailGiven } from "./log-tail.ts";

const EVENTS_AGAIN_MS = 500;
const EVENTS_LIFE_MS = 120_000;
const WHOLE_EVERY_MS = 30_000;
const MOST_CHANGED = 200;
/** The engine tells of an end before its lists know of it: after an event it is asked again soon, and in the next looks. */
const LIST_AGAIN_MS = 500;
const ASKED_FOR_MS = 6000;
const INSPECTED_AT_ONCE = 8;
/** An entry of 16 KiB takes six times as much at most, escaped. */
const BUFFER_BYTES = 256 * 1024;
/** Between two rounds when all was read: many small writes become one read. */
const ROUND_REST_MS = 20;

interface Tailed {
  readonly tail: LogTail;
  readonly watch: FolderWatch;
  /** The container has ended or is gone: what is there is read, then it is closed. */
  isLast: boolean;
  failed: boolean;
}

export interface TailSetGiven extends TailGiven {
  readonly source: LogSource;
}

export class TailSet {
  readonly #given: TailSetGiven;
  readonly #closed = new AbortController();
  readonly #tails = new Map<string, Tailed>();
  /** Ids of those that may have something to read. */
  readonly #waiting = new Set<string>();
  /** Containers that ended and were read to their end. */
  readonly #done = new Set<string>();
  /** Containers whose log is of another kind. */
  readonly #unreadable = new Set<string>();
  readonly #toBegin = new Map<string, JobContainer>();
  readonly #beginning = new Set<string>();
  /** Ids of those that started or ended, and until when the engine is asked for them; at least once. */
  readonly #changed = new Map<string, number>();
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  readonly #reading: Promise<void>;
  #wake: () => void = () => {};
  #wholeAtMs = Number.NEGATIVE_INFINITY;
  #again: NodeJS.Timeout | null = null;

  constructor(given: TailSetGiven) {
    this.#given = given;
    this.#reading = this.#readAll();
  }

  /** Asks for the containers that changed, and for all now and then; looks at those that changes do not tell of. */
  readonly look = async (): Promise<void> => {
    const isWhole = performance.now() - this.#wholeAtMs >= WHOLE_EVERY_MS;
    if (isWhole || this.#changed.size > MOST_CHANGED) await this.#listAll();
    else if (this.#changed.size > 0) await this.#listChanged();
    this.#markWaiting(isWhole);
  };

  async #listChanged(): Promise<void> {
    const nowMs = performance.now();
    const asked = new Set(this.#changed.keys());
    this.#take(await this.#given.source.list([...asked]), asked);
    for (const [id, untilMs] of this.#changed) if (untilMs <= nowMs) this.#changed.delete(id);
  }

  async #listAll(): Promise<void> {
    const nowMs = performance.now();
    // What changes from here on is for the next list.
    this.#wholeAtMs = nowMs;
    const all = await this.#given.source.list().catch((error: unknown) => {
      this.#listAllSoon();
      throw error;
    });
    const ids = new Set(all.map(({ id }) => id));
    for (const known of [this.#done, this.#unreadable])
      for (const id of known) if (!ids.has(id)) known.delete(id);
    this.#given.places.forgetOthers(new Set(all.map(({ id }) => id.slice(0, 12))));
    this.#take(all, new Set([...ids, ...this.#tails.keys()]));
    for (const [id, untilMs] of this.#changed) if (untilMs <= nowMs) this.#changed.delete(id);
  }

  /** @param asked of which those that were not found are gone */
  #take(found: readonly JobContainer[], asked: ReadonlySet<string>): void {
    for (const container of found.filter(isSound)) {
      // It was stopped and runs again: a sleeper that woke.
      if (container.isRunning) this.#done.delete(container.id);
      const tailed = this.#tails.get(container.id);
      if (tailed !== undefined) tailed.isLast = !container.isRunning;
      else if (!this.#isKnown(container.id)) this.#toBegin.set(container.id, container);
    }
    const there = new Set(found.map(({ id }) => id));
    for (const id of asked) {
      const tailed = there.has(id) ? undefined : this.#tails.get(id);
      if (tailed !== undefined) tailed.isLast = true;
    }
    this.#beginThem();
  }

  #isKnown(id: string): boolean {
    return this.#done.has(id) || this.#unreadable.has(id) || this.#beginning.has(id);
  }

  #listAllSoon(): void {
    this.#wholeAtMs = Number.NEGATIVE_INFINITY;
  }

  #noteChanged(id: string): void {
    this.#changed.set(id, performance.now() + ASKED_FOR_MS);
  }

  /** A few at once, and nobody waits for them: the engine may hang for one container and answer for the rest. */
  #beginThem(): void {
    for (const [id, container] of this.#toBegin) {
      if (this.#beginning.size >= INSPECTED_AT_ONCE || this.#closed.signal.aborted) return;
      this.#toBegin.delete(id);
      this.#beginning.add(id);
      void this.#begin(container).then(() => {
        this.#beginning.delete(id);
        this.#beginThem();
      });
    }
  }

  async #begin(container: JobContainer): Promise<void> {
    const { source, log } = this.#given;
    const { id } = container;
    try {
      const path = await source.logPath(id);
      if (path === "other") {
        this.#unreadable.add(id);
        return log.warn("logs.other-driver", { container: id.slice(0, 12) });
      }
      if (path === null && container.isRunning) this.#noteChanged(id);
      else if (path === null) this.#done.add(id);
      if (path === null || this.#closed.signal.aborted) return;
      const watch = new FolderWatch(dirname(path), () => this.#markOne(id));
      const tail = new LogTail(this.#given, container, path);
      this.#tails.set(id, { tail, watch, isLast: !container.isRunning, failed: false });
      this.#markOne(id);
    } catch (error) {
      this.#noteChanged(id);
      log.warn("logs.inspect-failed", { container: id.slice(0, 12), error: describeError(error) });
    }
  }

  /** Those that changes do not tell of; and all of them now and then, because a change may go untold. */
  #markWaiting(isWhole: boolean): void {
    for (const [id, { isLast, failed, watch }] of this.#tails)
      if (isLast || failed || !watch.isWatching || isWhole) this.#markOne(id);
  }

  #markOne(id: string): void {
    this.#waiting.add(id);
    this.#wake();
  }

  async #readAll(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      if (this.#waiting.size === 0)
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      let isMore = false;
      for (const id of [...this.#waiting]) {
        this.#waiting.delete(id);
        const tailed = this.#tails.get(id);
        if (tailed !== undefined && !signal.aborted && (await this.#readOne(id, tailed))) isMore = true;
      }
      if (!isMore) await sleep(ROUND_REST_MS, signal);
    }
  }

  /** @returns whether there is more to read at once */
  async #readOne(id: string, tailed: Tailed): Promise<boolean> {
    const { isLast } = tailed;
    try {
      const isMore = await tailed.tail.read(this.#buffer);
      tailed.failed = false;
      if (isMore) this.#waiting.add(id);
      else if (isLast && tailed.isLast) await this.#finish(id, tailed);
      return isMore;
    } catch (error) {
      tailed.failed = true;
      this.#given.log.warn("logs.read-failed", { container: id.slice(0, 12), error: describeError(error) });
      return false;
    }
  }

  async #finish(id: string, tailed: Tailed): Promise<void> {
    await tailed.tail.end();
    // It started again meanwhile.
    if (!tailed.isLast) return;
    this.#tails.delete(id);
    this.#done.add(id);
    tailed.watch.close();
    await tailed.tail.close();
  }

  /** Calls `wake` on every start and end, for ever; a lost stream is opened again. */
  async followChanges(wake: () => void): Promise<void> {
    // What changed while nobody told is in the list of all.
    const onOpen = () => {
      this.#listAllSoon();
      wake();
    };
    const onChange = (id: string) => {
      this.#noteChanged(id);
      wake();
      this.#again ??= setTimeout(() => {
        this.#again = null;
        wake();
      }, LIST_AGAIN_MS);
    };
    while (!this.#closed.signal.aborted) {
      const life = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(EVENTS_LIFE_MS)]);
      try {
        await this.#given.source.followChanges(onOpen, onChange, life);
      } catch (error) {
        this.#given.log.debug("logs.events-lost", { error: describeError(error) });
      }
      if (!life.aborted) await sleep(EVENTS_AGAIN_MS, this.#closed.signal);
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    if (this.#again !== null) clearTimeout(this.#again);
    this.#wake();
    await this.#reading;
    for (const { tail, watch } of this.#tails.values()) {
      watch.close();
      await tail.close();
    }
  }
}

/** Labels are the agent's, but a container made by hand may carry anything: ids become file names and subjects. */
function isSound({ environmentId, serviceId }: JobContainer): boolean {
  return ServiceId.safeParse(serviceId).success && EnvironmentId.safeParse(environmentId).success;
}
