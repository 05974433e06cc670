/**
 * One supervised process and its life: wait → start (or adopt) → ready → ended → back off → start …
 *
 * A single loop drives it, so two starts can never overlap. It ends only by `stop`; a crash of the process never
 * ends the loop.
 */
import { access } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { backOffMs, healthyAfterMs } from "./back-off.ts";
import { adoptProcess, type ProcessHandle, startProcess, stopProcess, sweepGroup } from "./process-handle.ts";
import type { ProcessSpec } from "./process-spec.ts";
import type { ProcessStatus } from "./protocol.ts";
import { waitUntilReady } from "./readiness.ts";
import { type SupervisorState, specHash } from "./state-file.ts";

const waitPollMs = 50;

export type ManagedProcessGiven = {
  readonly runDir: string;
  readonly spec: ProcessSpec;
  readonly state: SupervisorState;
  readonly log: (message: string) => void;
  /** The first dependency that is not ready, or null when all are. */
  readonly missingDependency: () => string | null;
};

export class ManagedProcess {
  readonly #given: ManagedProcessGiven;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #handle: ProcessHandle | null = null;
  #state: ProcessStatus["state"] = "waiting";
  #sinceMs = Date.now();
  #waitingFor: string | null = null;
  #readyAfterMs: number | null = null;
  #lastExit: ProcessStatus["lastExit"] = null;
  #starts = 0;
  #failures = 0;
  #restartAsked = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(given: ManagedProcessGiven) {
    this.#given = given;
  }

  get spec(): ProcessSpec {
    return this.#given.spec;
  }

  /** Starts the loop; returns at once. */
  begin(): void {
    this.#loop = this.#run().catch((error: unknown) => {
      // Only a bug gets here. The process is shown as stopped, the supervisor and the others go on.
      this.#given.log(`${this.spec.name}: supervision ended by a bug: ${String(error)}`);
      this.#enter("stopped");
    });
  }

  isReady(): boolean {
    return this.#state === "ready";
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    if (this.#handle !== null) {
      this.#enter("stopping");
      await stopProcess(this.#handle, this.spec);
    }
    await this.#loop;
    this.#enter("stopped");
  }

  /** Stops the running process; the loop starts it again without back-off. */
  async restart(): Promise<void> {
    this.#failures = 0;
    this.#wake.abort();
    if (this.#handle === null) return;
    this.#restartAsked = true;
    await stopProcess(this.#handle, this.spec);
  }

  status(): ProcessStatus {
    return {
      name: this.spec.name,
      state: this.#state,
      pid: this.#handle?.pid ?? null,
      restarts: Math.max(0, this.#starts - 1),
      sinceMs: this.#sinceMs,
      readyAfterMs: this.#readyAfterMs,
      waitingFor: this.#state === "waiting" ? this.#waitingFor : null,
      adopted: this.#handle?.adopted ?? false,
      lastExit: this.#lastExit,
    };
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#handle = this.#adopt();
      if (this.#handle === null) {
        await this.#waitForTurn();
        if (this.#stop.signal.aborted) return;
        this.#handle = await this.#start();
      }
      if (this.#handle !== null) await this.#watch(this.#handle);
      if (this.#stop.signal.aborted) return;
      await this.#backOff();
    }
  }

  #adopt(): ProcessHandle | null {
    const survivor = this.#given.state.get(this.spec.name);
    if (survivor === undefined) return null;
    const handle = adoptProcess(survivor.pid, survivor.startTicks, survivor.startedAtMs);
    if (handle === null) {
      this.#given.state.delete(this.spec.name);
      return null;
    }
    this.#given.log(`${this.spec.name}: adopted pid ${handle.pid}`);
    return handle;
  }

  async #waitForTurn(): Promise<void> {
    this.#enter("waiting");
    for (;;) {
      this.#waitingFor = await this.#missing();
      if (this.#waitingFor === null || this.#stop.signal.aborted) return;
      await delay(waitPollMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  async #missing(): Promise<string | null> {
    const dependency = this.#given.missingDependency();
    if (dependency !== null) return `${dependency} to be ready`;
    const { startWhenFile } = this.spec;
    if (startWhenFile === undefined) return null;
    return await access(startWhenFile).then(
      () => null,
      () => `file ${startWhenFile}`,
    );
  }

  async #start(): Promise<ProcessHandle | null> {
    const { spec, state, runDir, log } = this.#given;
    this.#enter("starting");
    this.#starts += 1;
    try {
      const handle = await startProcess(runDir, spec);
      const { pid, startTicks, startedAtMs } = handle;
      state.set(spec.name, { pid, startTicks, startedAtMs, specHash: specHash(spec), spec });
      log(`${spec.name}: started, pid ${pid}`);
      return handle;
    } catch (error) {
      this.#ended(error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  /** Until the process has ended: readiness within its deadline, then nothing but waiting. */
  async #watch(handle: ProcessHandle): Promise<void> {
    const { spec, log, state } = this.#given;
    const gaveUp = new AbortController();
    const askedAtMs = Date.now();
    void handle.ended.then(() => gaveUp.abort());
    const timer = setTimeout(() => gaveUp.abort(), spec.readyTimeoutMs);
    const ready = await waitUntilReady(
      spec.readiness,
      handle,
      AbortSignal.any([gaveUp.signal, this.#stop.signal]),
    );
    clearTimeout(timer);
    let why: string | null = null;
    if (ready && !this.#stop.signal.aborted) {
      this.#readyAfterMs = handle.adopted ? Date.now() - askedAtMs : Date.now() - handle.startedAtMs;
      this.#enter("ready");
      log(`${spec.name}: ready after ${this.#readyAfterMs} ms`);
    } else if (!this.#stop.signal.aborted && Date.now() - askedAtMs >= spec.readyTimeoutMs) {
      why = `not ready within ${spec.readyTimeoutMs} ms, stopped`;
      await stopProcess(handle, spec);
    }
    // A stop that came while it was being started saw no process yet: then stopping is up to this loop.
    if (this.#stop.signal.aborted) await stopProcess(handle, spec);
    const readyAtMs = Date.now();
    const how = await handle.ended;
    if (ready && Date.now() - readyAtMs >= healthyAfterMs) this.#failures = 0;
    sweepGroup(handle, spec);
    state.delete(spec.name);
    this.#handle = null;
    this.#ended(why ?? how);
  }

  #ended(how: string): void {
    this.#lastExit = { how, atMs: Date.now() };
    this.#given.log(`${this.spec.name}: ${how}`);
  }

  async #backOff(): Promise<void> {
    if (this.#restartAsked) {
      this.#restartAsked = false;
      return;
    }
    this.#failures += 1;
    this.#enter("backing-off");
    this.#wake = new AbortController();
    const waitMs = backOffMs(this.#failures, Math.random());
    const signal = AbortSignal.any([this.#stop.signal, this.#wake.signal]);
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
  }

  #enter(state: ProcessStatus["state"]): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#sinceMs = Date.now();
  }
}
