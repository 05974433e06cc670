/** The heartbeat every 2 s, which is the host's standing bid, and the bid asked for. */
import { AskBid, HostHeartbeat, type HostRecovery } from "@berth/shared/contracts/host.ts";
import { JobKey } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { z } from "zod";
import { heartbeatJobs, MAX_JOBS } from "../core/render-heartbeat.ts";
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

export function startHeartbeat(given: HeartbeatGiven) {
  beat(given);
  const timer = setInterval(() => beat(given), HEARTBEAT_MS);
  return { close: () => clearInterval(timer) };
}

/** A container with a label that no scheduler wrote is nobody's job. */
function isJobKey(value: {
  readonly jobId: string;
  readonly epoch: number;
}): value is z.infer<typeof JobKey> {
  return JobKey.safeParse(value).success;
}

/** One beat; also sent at once after a change that others wait for. */
export function beat(given: HeartbeatGiven): void {
  const { bus, hostId, jobs, meter, clock } = given;
  const nowMs = clock.nowMs();
  const records = jobs.records();
  const state = meter.state(records);
  given.alarms.note(state.alarms, nowMs);
  bus.signal(HostHeartbeat, {
    hostId,
    atMs: nowMs,
    monotonicMs: clock.monotonicMs(),
    expiresAtMs: nowMs + BID_LIFE_MS,
    bootId: given.bootId,
    agentStartedAtMs: given.agentStartedAtMs,
    agentVersion: given.agentVersion,
    machine: given.machine,
    engineVersion: meter.engineVersion,
    state,
    ...heartbeatJobs(records),
    unknown: jobs.unknown().slice(0, MAX_JOBS).filter(isJobKey),
    recovery: given.recovery(),
    startsAtOnce: given.startsAtOnce(),
    routes: given.routes(),
  });
}

export function serveAskBid({ bus, hostId, jobs, meter, clock }: HeartbeatGiven) {
  return bus.serve(AskBid, { hostId }, async () => ({
    hostId,
    expiresAtMs: clock.nowMs() + BID_LIFE_MS,
    state: meter.state(jobs.records()),
  }));
}
