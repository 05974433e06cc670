/** The container engine of one host: keeps containers over crashes of the agent, and may fail or answer late. */
import type { ContainerFacts, ContainerState } from "../../services/agent/src/core/next-step.ts";
import type { Process, Routine } from "./process.ts";
import type { Release } from "./store.ts";
import type { World } from "./world.ts";

export interface Container {
  readonly id: string;
  readonly jobId: string;
  readonly epoch: number;
  readonly attempt: number;
  readonly memoryBytes: number;
  readonly quality: Release["quality"];
  readonly slot: { readonly singleWriter: boolean; readonly key: string };
  /** The ledger lost its record of it: its host lists it, but cannot end it with its lease when it is cut off. */
  orphaned?: "listed" | "silent";
  state: ContainerState;
  startedAtMs: number;
  /** When it begins to listen. */
  readyAtMs: number;
  runCount: number;
}

export type ListedContainer = ContainerFacts & { readonly jobId: string };

/** `status` null: no answer in time; the effect may have happened. */
export class EngineFault extends Error {
  override name = "EngineFault";
  readonly status: number | null;

  constructor(status: number | null) {
    super(`engine: ${status ?? "no answer"}`);
    this.status = status;
  }
}

const CALL_DEADLINE_MS = 3000;

export class Engine {
  readonly containers = new Map<string, Container>();
  readonly #world: World;
  readonly #hostName: string;
  readonly #agent: () => Process;
  /** Told of a container's end, unless the event is lost. */
  onDie: (container: Container) => void = () => {};
  hangs = false;

  constructor(world: World, hostName: string, agent: () => Process) {
    this.#world = world;
    this.#hostName = hostName;
    this.#agent = agent;
  }

  /** One call with a deadline: answers, fails before the effect, or is not heard although it worked. */
  *call<T>(effect: () => T): Routine<T> {
    const { rng, weather } = this.#world;
    const fault = weather.engineFaults > 0 && rng.chance(weather.engineFaults);
    if (this.hangs || (fault && rng.chance(0.25))) {
      yield CALL_DEADLINE_MS;
      throw new EngineFault(null);
    }
    if (fault && rng.chance(0.33)) {
      yield rng.between(1, 20);
      throw new EngineFault(500);
    }
    yield rng.between(2, 40);
    const result = effect();
    if (fault) {
      yield CALL_DEADLINE_MS;
      throw new EngineFault(null);
    }
    yield 1;
    return result;
  }

  runningCount(): number {
    return [...this.containers.values()].filter(({ state }) => state === "running").length;
  }

  create(container: Container): string {
    if (this.containers.has(container.id)) throw new EngineFault(409);
    this.containers.set(container.id, container);
    return container.id;
  }

  start(id: string): void {
    const container = this.containers.get(id);
    if (container === undefined) throw new EngineFault(404);
    if (container.state === "running") return;
    const { timeline, rng, invariants, trace } = this.#world;
    container.state = "running";
    container.runCount += 1;
    container.startedAtMs = timeline.nowMs;
    container.readyAtMs =
      container.quality === "good" ? timeline.nowMs + rng.between(100, 1500) : Number.POSITIVE_INFINITY;
    trace(container.jobId, () => `${this.#hostName}: container ${id} runs`);
    invariants.containerStarted(this.#hostName, container);
    if (container.quality !== "crashes") return;
    const run = container.runCount;
    timeline.after(rng.between(50, 400), () => {
      if (container.runCount === run) this.kill(id);
    });
  }

  /** Ends a container, from inside or outside. */
  kill(id: string): void {
    const container = this.containers.get(id);
    if (container === undefined || container.state !== "running") return;
    container.state = "exited";
    const { rng, weather, trace } = this.#world;
    trace(container.jobId, () => `${this.#hostName}: container ${id} ended`);
    if (weather.loss > 0 && rng.chance(weather.loss)) return;
    this.#agent().after(rng.between(1, 5), () => this.onDie(container));
  }

  remove(id: string): void {
    this.kill(id);
    this.containers.delete(id);
  }

  list(): ListedContainer[] {
    return [...this.containers.values()].map(({ id, jobId, epoch, attempt, state }) => ({
      id,
      jobId,
      epoch,
      attempt,
      state,
    }));
  }

  powerCut(): void {
    for (const container of this.containers.values()) {
      if (container.state === "running") container.state = "exited";
      container.runCount += 1;
    }
  }
}
