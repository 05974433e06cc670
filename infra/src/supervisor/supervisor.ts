/**
 * All supervised processes of one run folder. What must stay true: `processes.json` is the wish, this makes it so;
 * a process that is in the wish and alive is never stopped because the supervisor itself was restarted.
 */
import { rotateIfLarge } from "./log-file.ts";
import { ManagedProcess } from "./managed-process.ts";
import { dependantsOf, inStartOrder } from "./order.ts";
import { adoptProcess, stopProcess, sweepGroup } from "./process-handle.ts";
import { ProcessSpec, readProcesses } from "./process-spec.ts";
import type { ApplyResult, SupervisorStatus } from "./protocol.ts";
import { SupervisorState, specHash } from "./state-file.ts";

const rotateEveryMs = 10_000;

export class Supervisor {
  readonly #runDir: string;
  readonly #log: (message: string) => void;
  readonly #state: SupervisorState;
  readonly #processes = new Map<string, ManagedProcess>();
  readonly #rotation: NodeJS.Timeout;
  /** Changes run one after the other. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(runDir: string, log: (message: string) => void) {
    this.#runDir = runDir;
    this.#log = log;
    this.#state = new SupervisorState(runDir);
    this.#rotation = setInterval(() => this.#rotate(), rotateEveryMs);
  }

  status(): SupervisorStatus {
    return { pid: process.pid, processes: [...this.#processes.values()].map((managed) => managed.status()) };
  }

  /** Makes the running processes equal to `processes.json`. @throws Error when the file is wrong: then nothing changes. */
  apply(): Promise<ApplyResult> {
    return this.#inTurn(async () => {
      const specs = inStartOrder(await readProcesses(this.#runDir));
      const wanted = new Map(specs.map((spec) => [spec.name, spec]));
      const stopped = [...new Set([...this.#processes.keys(), ...this.#state.names()])].filter(
        (name) => !wanted.has(name),
      );
      const restarted = specs.filter((spec) => this.#isChanged(spec)).map((spec) => spec.name);
      await this.#stopNames([...stopped, ...restarted]);
      const started = specs.filter((spec) => this.#takeOver(spec)).map((spec) => spec.name);
      return { stopped, restarted, started: started.filter((name) => !restarted.includes(name)) };
    });
  }

  /** @throws Error when there is no such process. */
  restart(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const managed = this.#processes.get(name);
      if (managed === undefined)
        throw new Error(`there is no process ${name}; there are: ${[...this.#processes.keys()].join(", ")}`);
      await managed.restart();
    });
  }

  /** Stops everything, dependants before what they depend on. */
  stop(): Promise<void> {
    return this.#inTurn(async () => {
      clearInterval(this.#rotation);
      await this.#stopNames([...this.#processes.keys()]);
    });
  }

  /** @returns true when the process is new here (started or adopted). */
  #takeOver(spec: ProcessSpec): boolean {
    if (this.#processes.has(spec.name)) return false;
    const managed = new ManagedProcess({
      runDir: this.#runDir,
      spec,
      state: this.#state,
      log: this.#log,
      missingDependency: () =>
        spec.dependsOn.find((name) => this.#processes.get(name)?.isReady() !== true) ?? null,
    });
    this.#processes.set(spec.name, managed);
    managed.begin();
    return true;
  }

  /** Changed against what runs now, whether this supervisor or an earlier one started it. */
  #isChanged(spec: ProcessSpec): boolean {
    const managed = this.#processes.get(spec.name);
    if (managed !== undefined && JSON.stringify(managed.spec) === JSON.stringify(spec)) return false;
    const runningHash = this.#state.get(spec.name)?.specHash;
    if (runningHash === undefined) return managed !== undefined;
    return spec.restartOnChange && runningHash !== specHash(spec);
  }

  async #stopNames(names: readonly string[]): Promise<void> {
    const items = names.map((name) => ({ name, dependsOn: this.#dependenciesOf(name) }));
    const stops = new Map<string, Promise<void>>();
    for (const { name } of [...inStartOrder(items)].reverse()) {
      const before = dependantsOf(items, name).map((dependant) => stops.get(dependant));
      stops.set(
        name,
        Promise.all(before).then(() => this.#stopOne(name)),
      );
    }
    await Promise.all(stops.values());
  }

  #dependenciesOf(name: string): readonly string[] {
    const running = this.#processes.get(name)?.spec;
    if (running !== undefined) return running.dependsOn;
    const survivor = ProcessSpec.safeParse(this.#state.get(name)?.spec);
    return survivor.success ? survivor.data.dependsOn : [];
  }

  async #stopOne(name: string): Promise<void> {
    const managed = this.#processes.get(name);
    if (managed === undefined) return await this.#stopSurvivor(name);
    await managed.stop();
    this.#processes.delete(name);
  }

  /** A process that an earlier supervisor started and that nobody wants any more. */
  async #stopSurvivor(name: string): Promise<void> {
    const survivor = this.#state.get(name);
    if (survivor === undefined) return;
    const handle = adoptProcess(survivor.pid, survivor.startTicks, survivor.startedAtMs);
    const spec = ProcessSpec.safeParse(survivor.spec);
    if (handle !== null && spec.success) {
      this.#log(`${name}: a survivor that is not wanted, stopping pid ${handle.pid}`);
      await stopProcess(handle, spec.data);
      sweepGroup(handle, spec.data);
    }
    this.#state.delete(name);
  }

  #rotate(): void {
    for (const name of [...this.#processes.keys(), "supervisor"]) {
      try {
        rotateIfLarge(this.#runDir, name);
      } catch (error) {
        this.#log(`${name}: its log cannot be rotated: ${String(error)}`);
      }
    }
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(change);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}
