/**
 * One follower per job container: started by a list every 2 s and by the engine's events. Where many sleep, most lists are
 * of those that run alone.
 */
import { EnvironmentId, ServiceId } from "@berth/shared/domain/ids.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { JobContainer } from "../outbound/docker.ts";
import { type FollowGiven, followContainer } from "./follow-container.ts";

const EVENTS_AGAIN_MS = 500;
const EVENTS_LIFE_MS = 120_000;
const MANY_ENDED = 20;
const WHOLE_EVERY = 15;
const MOST_STARTED = 200;

export class FollowerSet {
  readonly #given: FollowGiven;
  readonly #closed = new AbortController();
  readonly #following = new Map<string, Promise<void>>();
  /** Containers that ended and were read to their end. */
  readonly #ended = new Set<string>();
  /** Ids of those that started since the last list: such a one may have ended already. */
  readonly #started = new Set<string>();
  #looks = 0;

  constructor(given: FollowGiven) {
    this.#given = given;
  }

  /** Lists the containers and follows those that nobody follows. */
  readonly look = async (): Promise<void> => {
    const containers = (await this.#list()).filter(isSound);
    for (const container of containers) {
      // It was stopped and runs again: a sleeper that woke.
      if (container.isRunning) this.#ended.delete(container.id);
      if (this.#following.has(container.id) || this.#ended.has(container.id)) continue;
      const done = followContainer(this.#given, container, this.#closed.signal);
      this.#following.set(container.id, done);
      void done.finally(() => {
        this.#following.delete(container.id);
        if (!container.isRunning) this.#ended.add(container.id);
      });
    }
  };

  async #list(): Promise<readonly JobContainer[]> {
    const { source } = this.#given;
    const started = [...this.#started];
    this.#started.clear();
    this.#looks += 1;
    if (this.#ended.size >= MANY_ENDED && this.#looks % WHOLE_EVERY !== 0) {
      const running = await source.list("running");
      return started.length === 0 ? running : [...running, ...(await source.list(started))];
    }
    const all = await source.list();
    const ids = new Set(all.map(({ id }) => id));
    for (const id of this.#ended) if (!ids.has(id)) this.#ended.delete(id);
    this.#forgetPositions(ids);
    return all;
  }

  /** A place is kept while its container is there: ids are never used again. */
  #forgetPositions(ids: ReadonlySet<string>): void {
    const short = new Set([...ids].map((id) => id.slice(0, 12)));
    for (const key of this.#given.positions.keys()) if (!short.has(key)) this.#given.positions.delete(key);
  }

  /** Calls `wake` on every start, for ever; a lost stream is opened again. */
  async followStarts(wake: () => void): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const life = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(EVENTS_LIFE_MS)]);
      try {
        await this.#given.source.followStarts((id) => {
          if (this.#started.size < MOST_STARTED) this.#started.add(id);
          wake();
        }, life);
      } catch (error) {
        this.#given.log.debug("logs.events-lost", { error: describeError(error) });
      }
      if (!life.aborted) await sleep(EVENTS_AGAIN_MS, this.#closed.signal);
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.allSettled(this.#following.values());
  }
}

/** Labels are the agent's, but a container made by hand may carry anything: ids become file names and subjects. */
function isSound({ environmentId, serviceId }: JobContainer): boolean {
  return ServiceId.safeParse(serviceId).success && EnvironmentId.safeParse(environmentId).success;
}
