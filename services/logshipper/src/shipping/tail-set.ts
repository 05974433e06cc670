/**
 * The job containers whose logs are read: found by a list, after the engine's events and every 30 s. Changes of their folders tell
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
const MANY_ENDED = 20;
/** Looks come every 5 s. */
const WHOLE_EVERY = 6;
const MOST_CHANGED = 200;
/** The engine tells of an end before its lists know of it: after an event it is asked again soon, and in the next looks. */
const LIST_AGAIN_MS = 500;
const LISTS_AFTER_MS = 6000;
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
  /** Ids of those that started or ended since the last list. */
  readonly #changed = new Set<string>();
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  readonly #reading: Promise<void>;
  #wake: () => void = () => {};
  #looks = 0;
  #isListDue = true;
  #listUntilMs = 0;
  #again: NodeJS.Timeout | null = null;

  constructor(given: TailSetGiven) {
    this.#given = given;
    this.#reading = this.#readAll();
  }

  /** Lists the containers when something changed, and now and then; looks at those that changes do not tell of. */
  readonly look = async (): Promise<void> => {
    this.#looks += 1;
    const isAfterEvent = performance.now() < this.#listUntilMs;
    if (this.#isListDue || isAfterEvent || this.#isWholeLook)
      this.#take((await this.#list()).filter(isSound));
    this.#markWaiting();
  };

  #take(containers: readonly JobContainer[]): void {
    for (const container of containers) {
      // It was stopped and runs again: a sleeper that woke.
      if (container.isRunning) this.#done.delete(container.id);
      const tailed = this.#tails.get(container.id);
      if (tailed !== undefined) tailed.isLast = !container.isRunning;
      else if (!this.#isKnown(container.id)) this.#toBegin.set(container.id, container);
    }
    const listed = new Set(containers.map(({ id }) => id));
    for (const [id, tailed] of this.#tails) if (!listed.has(id)) tailed.isLast = true;
    this.#beginThem();
  }

  #isKnown(id: string): boolean {
    return this.#done.has(id) || this.#unreadable.has(id) || this.#beginning.has(id);
  }

  async #list(): Promise<readonly JobContainer[]> {
    const { source } = this.#given;
    const changed = [...this.#changed];
    this.#changed.clear();
    // What changes from here on is for the next list.
    this.#isListDue = false;
    try {
      if (this.#done.size < MANY_ENDED || this.#isWholeLook) return await this.#listAll();
      const running = await source.list("running");
      return changed.length === 0 ? running : [...running, ...(await source.list(changed))];
    } catch (error) {
      this.#isListDue = true;
      throw error;
    }
  }

  async #listAll(): Promise<readonly JobContainer[]> {
    const all = await this.#given.source.list();
    const ids = new Set(all.map(({ id }) => id));
    for (const known of [this.#done, this.#unreadable])
      for (const id of known) if (!ids.has(id)) known.delete(id);
    this.#given.places.forgetOthers(new Set(all.map(({ id }) => id.slice(0, 12))));
    return all;
  }

  get #isWholeLook(): boolean {
    return this.#looks % WHOLE_EVERY === 0;
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
      if (path === null && container.isRunning) this.#isListDue = true;
      else if (path === null) this.#done.add(id);
      if (path === null || this.#closed.signal.aborted) return;
      const watch = new FolderWatch(dirname(path), () => this.#markOne(id));
      const tail = new LogTail(this.#given, container, path);
      this.#tails.set(id, { tail, watch, isLast: !container.isRunning, failed: false });
      this.#markOne(id);
    } catch (error) {
      this.#isListDue = true;
      log.warn("logs.inspect-failed", { container: id.slice(0, 12), error: describeError(error) });
    }
  }

  /** Those that changes do not tell of; and all of them now and then, because a change may go untold. */
  #markWaiting(): void {
    for (const [id, { isLast, failed, watch }] of this.#tails)
      if (isLast || failed || !watch.isWatching || this.#isWholeLook) this.#markOne(id);
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
    const wakeForList = () => {
      this.#isListDue = true;
      wake();
    };
    while (!this.#closed.signal.aborted) {
      const life = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(EVENTS_LIFE_MS)]);
      try {
        const onChange = (id: string) => {
          if (this.#changed.size < MOST_CHANGED) this.#changed.add(id);
          this.#listUntilMs = performance.now() + LISTS_AFTER_MS;
          wakeForList();
          this.#again ??= setTimeout(() => {
            this.#again = null;
            wakeForList();
          }, LIST_AGAIN_MS);
        };
        // What changed while nobody told is in the list.
        await this.#given.source.followChanges(wakeForList, onChange, life);
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
