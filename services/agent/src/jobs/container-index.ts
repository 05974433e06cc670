/**
 * Which containers exist, per job: kept by what the agent does, by events, and by a full list every few seconds.
 *
 * A list that began before a change does not undo that change: each job remembers when it was last touched.
 */
import type { ContainerFacts, ContainerState } from "../core/next-step.ts";
import type { LabelledContainer } from "../outbound/docker.ts";

export class ContainerIndex {
  readonly #byJob = new Map<string, readonly ContainerFacts[]>();
  readonly #touched = new Map<string, number>();
  #tick = 0;

  of(jobId: string): readonly ContainerFacts[] {
    return this.#byJob.get(jobId) ?? [];
  }

  jobs(): string[] {
    return [...this.#byJob.keys()];
  }

  /** Of other jobs' containers in whatever state: one that sleeps keeps its own. */
  addressesBeside(jobId: string): string[] {
    const others = [...this.#byJob].filter(([id]) => id !== jobId).flatMap(([, containers]) => containers);
    return others.flatMap(({ address }) => address ?? []);
  }

  /** Ids of the containers that run. */
  running(): Set<string> {
    const all = [...this.#byJob.values()].flat();
    return new Set(all.filter(({ state }) => state === "running").map(({ id }) => id));
  }

  /** Jobs with containers here that `isKnown` does not know. */
  unknown(isKnown: (jobId: string) => boolean): { readonly jobId: string; readonly epoch: number }[] {
    return this.jobs()
      .filter((jobId) => !isKnown(jobId))
      .map((jobId) => ({ jobId, epoch: Math.max(...this.of(jobId).map(({ epoch }) => epoch)) }));
  }

  put(jobId: string, container: ContainerFacts): void {
    this.#touch(jobId);
    this.#byJob.set(jobId, [...this.of(jobId).filter(({ id }) => id !== container.id), container]);
  }

  setState(jobId: string, id: string, state: ContainerState): void {
    const known = this.of(jobId).find((container) => container.id === id);
    if (known !== undefined) this.put(jobId, { ...known, state });
  }

  drop(jobId: string, id: string): void {
    this.#touch(jobId);
    const left = this.of(jobId).filter((container) => container.id !== id);
    if (left.length === 0) this.#byJob.delete(jobId);
    else this.#byJob.set(jobId, left);
  }

  #touch(jobId: string): void {
    this.#tick += 1;
    this.#touched.set(jobId, this.#tick);
  }

  /** @returns the jobs whose containers are not as they were thought to be */
  async refresh(list: () => Promise<readonly LabelledContainer[]>): Promise<string[]> {
    const began = this.beginList();
    return this.takeList(began, await list());
  }

  /** @returns the moment before a list is asked for, to be given back with the list */
  beginList(): number {
    this.#tick += 1;
    return this.#tick;
  }

  get exitedCount(): number {
    return [...this.#byJob.values()].flat().filter(({ state }) => state === "exited").length;
  }

  /**
   * Whether the containers that did not exit are as they are thought to be. Those that exited are not in the list.
   * @param began as `beginList` gave it
   */
  matches(began: number, list: readonly LabelledContainer[]): boolean {
    const isOld = (jobId: string) => (this.#touched.get(jobId) ?? 0) <= began;
    const thought = [...this.#byJob].flatMap(([jobId, all]) =>
      isOld(jobId) ? all.filter(({ state }) => state !== "exited") : [],
    );
    return sameContainers(
      thought,
      list.filter(({ jobId }) => isOld(jobId)),
    );
  }

  takeList(began: number, list: readonly (ContainerFacts & Pick<LabelledContainer, "jobId">)[]): string[] {
    const seen = Map.groupBy(list, ({ jobId }) => jobId);
    const changed: string[] = [];
    for (const jobId of new Set([...seen.keys(), ...this.#byJob.keys()])) {
      if ((this.#touched.get(jobId) ?? 0) > began) continue;
      const now = (seen.get(jobId) ?? []).map(({ id, epoch, attempt, state, address = null }) => {
        return { id, epoch, attempt, state, address };
      });
      if (!sameContainers(this.of(jobId), now)) changed.push(jobId);
      if (now.length === 0) this.#byJob.delete(jobId);
      else this.#byJob.set(jobId, now);
      if (now.length === 0) this.#touched.delete(jobId);
    }
    return changed;
  }
}

type Seen = Pick<ContainerFacts, "id" | "state">;

function sameContainers(a: readonly Seen[], b: readonly Seen[]): boolean {
  const text = (list: readonly Seen[]) =>
    list
      .map(({ id, state }) => `${id} ${state}`)
      .sort()
      .join();
  return text(a) === text(b);
}
