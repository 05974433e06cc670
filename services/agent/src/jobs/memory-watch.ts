/**
 * Kills for memory in a job's container, from three sources: the engine's word, the kernel's counters while the
 * container lives, and the kernel's log after its end. `core/oom-signs.ts` judges.
 */
import { judgeOom } from "../core/oom-signs.ts";
import { oomCounterOf, readOomKills } from "../outbound/oom-kills.ts";
import type { JobWorker } from "./job-worker.ts";

/** What is known of one container at a time: the newest. */
export class MemoryWatch {
  #containerId = "";
  #pid = 0;
  #counter: string | null = null;
  #engineSays = false;
  #killsCount = 0;
  #lastKillAtMs: number | null = null;

  begin(containerId: string, pid: number): void {
    if (containerId !== this.#containerId) {
      this.#engineSays = false;
      this.#killsCount = 0;
      this.#lastKillAtMs = null;
    }
    if (containerId !== this.#containerId || pid !== this.#pid) this.#counter = null;
    this.#containerId = containerId;
    this.#pid = pid;
  }

  pidOf(containerId: string): number {
    return containerId === this.#containerId ? this.#pid : 0;
  }

  /** @returns kills that the kernel counted in the container that runs; null when it cannot be told */
  async kernelCounts(): Promise<number | null> {
    this.#counter ??= await oomCounterOf(this.#pid);
    return this.#counter === null ? null : readOomKills(this.#counter);
  }

  engineSaysKilled(containerId: string, nowMs: number): void {
    if (containerId !== this.#containerId) this.begin(containerId, 0);
    this.#engineSays = true;
    this.#lastKillAtMs = nowMs;
  }

  /** @returns how many kills are new */
  counted(containerId: string, killsCount: number, nowMs: number): number {
    if (containerId !== this.#containerId) this.begin(containerId, 0);
    const fresh = Math.max(0, killsCount - this.#killsCount);
    this.#killsCount += fresh;
    if (fresh > 0) this.#lastKillAtMs = nowMs;
    return fresh;
  }

  facts(containerId: string, nowMs: number) {
    const isThis = containerId === this.#containerId;
    return {
      engineSays: isThis && this.#engineSays,
      killsCount: isThis ? this.#killsCount : 0,
      lastKillAgoMs: isThis && this.#lastKillAtMs !== null ? nowMs - this.#lastKillAtMs : null,
    };
  }
}

/** A process of it that was killed although the container lives on is said once, while somebody can still look. */
export async function noteOomKills(worker: JobWorker, containerId: string): Promise<void> {
  const { clock, engine, log } = worker.given;
  if (worker.memory.pidOf(containerId) === 0)
    worker.memory.begin(containerId, (await engine.inspect(containerId))?.pid ?? 0);
  const kills = await worker.memory.kernelCounts();
  if (kills === null) return;
  const fresh = worker.memory.counted(containerId, kills, clock.nowMs());
  if (fresh > 0) log.warn("job.child-out-of-memory", { jobId: worker.jobId, containerId, killsCount: fresh });
}

export async function judgeMemory(
  worker: JobWorker,
  containerId: string,
  seen: { readonly exitCode: number | null; readonly outOfMemory: boolean },
): Promise<ReturnType<typeof judgeOom>> {
  const { clock, oomLog } = worker.given;
  await oomLog.refresh();
  worker.memory.counted(containerId, oomLog.killsOf(containerId), clock.nowMs());
  const facts = worker.memory.facts(containerId, clock.nowMs());
  return judgeOom({
    ...facts,
    exitCode: seen.exitCode,
    engineSays: facts.engineSays || seen.outOfMemory,
    kernelTells: oomLog.isReadable,
  });
}
