/** The system under measurement, and one trial on it: jobs into the record, until each is placed, answered and stored. */
import { setTimeout as delay } from "node:timers/promises";
import type { HostId, JobId } from "@berth/shared/domain/ids.ts";
import { GIB } from "@berth/shared/domain/resources.ts";
import type { BareConnection } from "@berth/shared/kit/bare-connection.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { cpuSecondsOf, cpuSecondsOfTree } from "../kit/cpu.ts";
import type { Agents } from "./agents.ts";
import { makeJobs, type NewJob, type Record } from "./jobs.ts";
import type { Parts } from "./parts.ts";
import { type SchedulerSide, startScheduler, type Witness } from "./scheduler-side.ts";

const trialTimeoutMs = 120_000;
/** Longer than a heartbeat's period: every host has spoken since. */
const beatsMs = 2500;
const hostMemoryBytes = 64 * GIB;

export interface Host {
  readonly id: HostId;
  readonly name: string;
}

interface Given {
  readonly parts: Parts;
  readonly record: Record;
  readonly agents: Agents;
  readonly bare: BareConnection;
}

export interface Usage {
  readonly scheduler: number;
  readonly agents: number;
  readonly nats: number;
  readonly postgres: number;
  readonly messages: number;
}

export interface Trial {
  readonly wallMs: number;
  readonly usage: Usage;
}

/** When awards were sent and acknowledged. */
class Moments implements Witness {
  readonly #sent = new Map<JobId, number>();
  readonly #acknowledged = new Map<JobId, number>();
  readonly #waiting = new Map<JobId, () => void>();

  sent(jobId: JobId, atMs: number): void {
    this.#sent.set(jobId, atMs);
  }

  acknowledged(jobId: JobId, atMs: number): void {
    this.#acknowledged.set(jobId, atMs);
    this.#waiting.get(jobId)?.();
  }

  get acknowledgedCount(): number {
    return this.#acknowledged.size;
  }

  clear(): void {
    for (const map of [this.#sent, this.#acknowledged, this.#waiting]) map.clear();
  }

  async wait(jobId: JobId, timeoutMs: number): Promise<{ sentAtMs: number; atMs: number }> {
    if (!this.#acknowledged.has(jobId)) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(() => reject(new Error(`job ${jobId} is not acknowledged`)), timeoutMs);
      this.#waiting.set(jobId, resolve);
      await promise.finally(() => clearTimeout(timer));
    }
    const [sentAtMs, atMs] = [this.#sent.get(jobId), this.#acknowledged.get(jobId)];
    if (sentAtMs === undefined || atMs === undefined) throw new Error(`job ${jobId} was forgotten`);
    return { sentAtMs, atMs };
  }
}

export class Bench {
  readonly given: Given;
  readonly #scheduler: SchedulerSide;
  readonly #moments: Moments;
  /** Since it was cleared. */
  #acceptedCount = 0;
  hosts: readonly Host[] = [];

  private constructor(given: Given, scheduler: SchedulerSide, moments: Moments) {
    this.given = given;
    this.#scheduler = scheduler;
    this.#moments = moments;
  }

  static async start(given: Given): Promise<Bench> {
    const moments = new Moments();
    const scheduler = await startScheduler(given.parts, moments);
    return new Bench(given, scheduler, moments);
  }

  async setHosts(count: number, say: (line: string) => void, memoryBytes = hostMemoryBytes): Promise<void> {
    this.hosts = Array.from({ length: count }, (_, n) => ({ id: newId("host"), name: `h${n}` }));
    const { record, agents } = this.given;
    await this.clear();
    await record.setHosts(this.hosts);
    await agents.setHosts(this.hosts, memoryBytes, bareAnswer());
    await delay(beatsMs);
    say(`${count} agents bid`);
  }

  /** Nothing is placed and every host is empty. */
  async clear(): Promise<void> {
    const { record, agents } = this.given;
    await agents.tell("clear");
    await delay(400);
    await record.clear();
    this.#moments.clear();
    this.#acceptedCount = 0;
  }

  wake(): void {
    this.#scheduler.wake();
  }

  acknowledged(jobId: JobId, timeoutMs: number): Promise<{ sentAtMs: number; atMs: number }> {
    return this.#moments.wait(jobId, timeoutMs);
  }

  /** The bytes of an award of one job, as the floor sends them. */
  bareAward(): string {
    const [job] = makeJobs([256]) as [NewJob];
    const hostId = this.hosts[0]?.id ?? newId("host");
    return JSON.stringify({ hostId, leaderEpoch: 1, leaseExpiresAtMs: Date.now(), jobs: [job.spec] });
  }

  /** From the commit of all of them until each is accepted and that is stored. Leaves them placed. */
  async place(jobs: readonly NewJob[]): Promise<Trial> {
    const { record } = this.given;
    await record.request(jobs);
    const before = await this.usage();
    const startedAtMs = performance.now();
    this.wake();
    const endAtMs = startedAtMs + trialTimeoutMs;
    this.#acceptedCount += jobs.length;
    while (this.#moments.acknowledgedCount < this.#acceptedCount) await this.#pause(endAtMs, jobs.length);
    while ((await record.acceptedCount()) < this.#acceptedCount) await this.#pause(endAtMs, jobs.length);
    const wallMs = performance.now() - startedAtMs;
    return { wallMs, usage: difference(await this.usage(), before) };
  }

  async #pause(endAtMs: number, jobs: number): Promise<void> {
    if (performance.now() > endAtMs)
      throw new Error(`not all of ${jobs} jobs are placed after ${trialTimeoutMs / 1000} s`);
    await delay(5);
  }

  /** CPU seconds and messages since the processes began. */
  async usage(): Promise<Usage> {
    const { agents, parts } = this.given;
    const { user, system } = process.cpuUsage();
    const answer = await fetch(`${parts.monitorUrl}/varz`, { signal: AbortSignal.timeout(5000) });
    const counters = (await answer.json()) as { in_msgs: number; out_msgs: number };
    return {
      ...{ scheduler: (user + system) / 1e6, agents: await agents.cpuSeconds() },
      ...{ nats: cpuSecondsOf(parts.natsPid), postgres: cpuSecondsOfTree(parts.postgresPid) },
      messages: counters.in_msgs,
    };
  }

  async close(): Promise<void> {
    await this.#scheduler.close();
  }
}

export function difference(after: Usage, before: Usage): Usage {
  return {
    scheduler: after.scheduler - before.scheduler,
    agents: after.agents - before.agents,
    nats: after.nats - before.nats,
    postgres: after.postgres - before.postgres,
    messages: after.messages - before.messages,
  };
}

/** The bytes of an agent's answer to one award. */
function bareAnswer(): string {
  const state = {
    zone: "zone-1",
    runtimes: ["runc"],
    ceilings: [],
    alarms: [],
    volumes: [],
    imageDigests: [],
  };
  return JSON.stringify({ hostId: newId("host"), answers: [{ answer: "accepted" }], state }).padEnd(700);
}

/** Sizes in MiB as a mixed pod has them: many small ones, few large. */
export function mixedSizes(count: number): number[] {
  const mix = [64, 128, 128, 256, 256, 256, 512, 1024];
  return Array.from({ length: count }, (_, n) => mix[(n * 5) % mix.length] as number);
}
