/** The heartbeat every 2 s, which is the host's standing bid, in full, as what changed or as "the same again"; and the bid asked for. */
import { AskBid, HostHeartbeat, type HostRecovery, MOST_JOBS_TOLD } from "@berth/shared/contracts/host.ts";
import { JobKey } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { z } from "zod";
import { type BeatMemory, forgetSaid, NOTHING_SAID, nextBeat } from "../core/beat-form.ts";
import { renderBeat } from "../core/render-heartbeat.ts";
import type { AlarmLog } from "../jobs/alarm-log.ts";
import type { HostMeter } from "../jobs/host-meter.ts";
import type { JobSet } from "../jobs/job-set.ts";

export const HEARTBEAT_MS = 2000;
/** Three beats: one lost message does not void the bid. */
const BID_LIFE_MS = 6000;

export interface HeartbeatGiven {
  readonly bus: Bus;
  readonly hostId: HostId;
  readonly jobs: JobSet;
  readonly meter: HostMeter;
  readonly alarms: AlarmLog;
  readonly clock: Clock;
  readonly bootId: string;
  readonly agentStartedAtMs: number;
  readonly agentVersion: string;
  readonly machine: string;
  readonly recovery: () => HostRecovery;
  readonly startsAtOnce: () => number;
  readonly routes: () => Readonly<Record<string, number>>;
}

/** A container with a label that no scheduler wrote is nobody's job. */
function isJobKey(value: {
  readonly jobId: string;
  readonly epoch: number;
}): value is z.infer<typeof JobKey> {
  return JobKey.safeParse(value).success;
}

export class Heartbeat {
  readonly #given: HeartbeatGiven;
  #memory: BeatMemory = NOTHING_SAID;

  constructor(given: HeartbeatGiven) {
    this.#given = given;
  }

  start() {
    this.#beat();
    const timer = setInterval(() => this.#beat(), HEARTBEAT_MS);
    return { close: () => clearInterval(timer) };
  }

  #beat(): void {
    const { bus, hostId, jobs, meter, clock, bootId, agentStartedAtMs, alarms } = this.#given;
    const nowMs = clock.nowMs();
    const records = jobs.records();
    const state = meter.state(records);
    alarms.note(state.alarms, nowMs);
    const head = {
      ...{ hostId, atMs: nowMs, monotonicMs: clock.monotonicMs(), expiresAtMs: nowMs + BID_LIFE_MS },
      ...{ bootId, agentStartedAtMs },
    };
    const rest = this.#rest();
    const held = records.map(({ spec, sequence }) => ({ jobId: spec.jobId, epoch: spec.epoch, sequence }));
    const { memory, form } = nextBeat(this.#memory, { state, held, rest });
    // What is not sent is not said.
    this.#memory = bus.connected ? memory : forgetSaid(memory);
    const { revision } = memory;
    bus.signal(HostHeartbeat, renderBeat(form, { ...head, revision }, { records, rest: { state, ...rest } }));
  }

  #rest() {
    const { agentVersion, machine, meter, jobs, recovery, startsAtOnce, routes } = this.#given;
    return {
      ...{ agentVersion, machine, engineVersion: meter.engineVersion },
      unknown: jobs.unknown().slice(0, MOST_JOBS_TOLD).filter(isJobKey),
      ...{ recovery: recovery(), startsAtOnce: startsAtOnce(), routes: { ...routes() } },
    };
  }

  /** Who asks may not know what the beats repeat. */
  serveAskBid() {
    const { bus, hostId, jobs, meter, clock } = this.#given;
    return bus.serve(AskBid, { hostId }, async () => {
      this.#memory = forgetSaid(this.#memory);
      // After the answer.
      setImmediate(() => this.#beat());
      return { hostId, expiresAtMs: clock.nowMs() + BID_LIFE_MS, state: meter.state(jobs.records()) };
    });
  }
}
