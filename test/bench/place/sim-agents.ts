/**
 * Many simulated agents in one process over one connection: each has its own subjects, state and heartbeat, and decides
 * with the agent's own code. What is left out is the machine under an agent: no container is started.
 */
import { AskBid, HostHeartbeat } from "@berth/shared/contracts/host.ts";
import { AwardJobs } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { HostState } from "@berth/shared/domain/placement.ts";
import { GIB } from "@berth/shared/domain/resources.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import {
  type BeatForm,
  forgetSaid,
  NOTHING_SAID,
  nextBeat,
} from "../../../services/agent/src/core/beat-form.ts";
import {
  type AwardMemory,
  decideAward,
  rememberAnswers,
} from "../../../services/agent/src/core/decide-award.ts";
import { type JobRecord, newRecord } from "../../../services/agent/src/core/job-record.ts";
import { renderBeat } from "../../../services/agent/src/core/render-heartbeat.ts";

const bootId = "bench";
const heartbeatMs = 2000;
const bidLifeMs = 6000;
const tickMs = 20;

class SimAgent {
  readonly #empty: HostState;
  readonly #held = new Map<string, JobRecord>();
  #memory: AwardMemory = { leaderEpoch: 0, answered: new Map() };
  #beats = NOTHING_SAID;
  state: HostState;

  constructor(empty: HostState) {
    this.#empty = empty;
    this.state = empty;
  }

  award(award: Parameters<typeof decideAward>[0]) {
    const nowMs = Date.now();
    const decision = decideAward(award, this.#memory, this.#held, this.state, nowMs);
    this.#memory = rememberAnswers(this.#memory, award, nowMs);
    this.state = decision.state;
    for (const { spec, isNew } of decision.answers)
      if (isNew) this.#held.set(spec.jobId, newRecord(spec, nowMs, bootId));
    return decision.answers.map(({ spec: { jobId, epoch }, refusal }) =>
      refusal === null
        ? { answer: "accepted" as const, jobId, epoch }
        : { answer: "declined" as const, jobId, epoch, code: refusal.code, detail: refusal.detail },
    );
  }

  records(): JobRecord[] {
    return [...this.#held.values()];
  }

  /** @returns what this beat must say, and its revision */
  nextBeat(rest: unknown): { revision: number; form: BeatForm } {
    const held = this.records().map(({ spec, sequence }) => ({
      ...{ jobId: spec.jobId, epoch: spec.epoch, sequence },
    }));
    const { memory, form } = nextBeat(this.#beats, { state: this.state, held, rest });
    this.#beats = memory;
    return { revision: memory.revision, form };
  }

  beatInFull(): void {
    this.#beats = forgetSaid(this.#beats);
  }

  /** All that was starting runs by now. */
  settle(): void {
    this.state = { ...this.state, startingCount: 0 };
  }

  clear(): void {
    this.#held.clear();
    this.#memory = { ...this.#memory, answered: new Map() };
    this.state = this.#empty;
  }
}

export class SimAgents {
  readonly #bus: Bus;
  readonly #agents = new Map<HostId, SimAgent>();
  readonly #closables: { close(): unknown }[] = [];
  #next = 0;

  constructor(bus: Bus) {
    this.#bus = bus;
    const timer = setInterval(() => this.#tick(), tickMs);
    this.#closables.push({ close: () => clearInterval(timer) });
  }

  add(hostId: HostId, name: string, memoryBytes: number): void {
    const agent = new SimAgent(emptyHost(hostId, name, memoryBytes));
    this.#agents.set(hostId, agent);
    this.#closables.push(
      this.#bus.serve(AwardJobs, { hostId }, async (award) => {
        const answers = agent.award(award);
        return { hostId, answers, state: agent.state };
      }),
      this.#bus.serve(AskBid, { hostId }, async () => {
        agent.beatInFull();
        setImmediate(() => this.#beat(hostId));
        return { hostId, expiresAtMs: Date.now() + bidLifeMs, state: agent.state };
      }),
    );
  }

  state(hostId: HostId): HostState {
    const agent = this.#agents.get(hostId);
    if (agent === undefined) throw new Error(`no agent ${hostId}`);
    return agent.state;
  }

  states(): HostState[] {
    return [...this.#agents.values()].map(({ state }) => state);
  }

  each(change: "settle" | "clear"): void {
    for (const agent of this.#agents.values()) agent[change]();
    for (const hostId of this.#agents.keys()) this.#beat(hostId);
  }

  close(): void {
    for (const one of this.#closables) one.close();
  }

  /** Heartbeats are spread evenly over their period. */
  #tick(): void {
    const hosts = [...this.#agents.keys()];
    const share = (hosts.length * tickMs) / heartbeatMs;
    const until = this.#next + share;
    for (let at = Math.ceil(this.#next); at < until; at += 1) this.#beat(hosts[at % hosts.length] as HostId);
    this.#next = hosts.length === 0 ? 0 : until % hosts.length;
  }

  #beat(hostId: HostId): void {
    const agent = this.#agents.get(hostId);
    if (agent === undefined) return;
    const nowMs = Date.now();
    const head = {
      ...{ hostId, atMs: nowMs, expiresAtMs: nowMs + bidLifeMs, bootId, agentStartedAtMs: 1 },
    };
    const { revision, form } = agent.nextBeat(rest);
    const said = { records: agent.records(), rest: { state: agent.state, ...rest } };
    this.#bus.signal(HostHeartbeat, renderBeat(form, { ...head, revision }, said));
  }
}

const rest = { agentVersion: "bench", engineVersion: "none", routes: {} };

function emptyHost(hostId: HostId, name: string, memoryBytes: number): HostState {
  return HostState.parse({
    ...{ hostId, name, zone: `zone-${Number(name.slice(1)) % 3}`, jobSlotsTotal: 400, jobSlotsFree: 400 },
    ...{ memoryTotalBytes: memoryBytes, memoryFreeBytes: memoryBytes, startingCount: 0 },
    ...{ diskTotalBytes: 500 * GIB, diskFreeBytes: 500 * GIB, cpuTotalMillis: 8000, cpuFreeMillis: 128_000 },
    ...{ instancesByService: {}, imageDigests: [], cordoned: false, unavailable: [] },
  });
}
