/** Every setting of the scheduler, with its unit, default and reason. */
import { BusConfig, DatabaseConfig } from "@berth/shared/kit/bus-config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { z } from "zod";

const ms = (least: number, most: number) => z.coerce.number().int().min(least).max(most);

export const SchedulerConfig = {
  ...BusConfig,
  ...DatabaseConfig,
  reconcileEveryMs: key("BERTH_RECONCILE_EVERY_MS", ms(100, 60_000), {
    default: 1000,
    why: "period that heals lost wake-ups",
  }),
  leaderLeaseMs: key("BERTH_LEADER_LEASE_MS", ms(1000, 60_000), {
    default: 4000,
    why: "how long a dead leader blocks the next one",
  }),
  awardLeaseMs: key("BERTH_AWARD_LEASE_MS", ms(2000, 600_000), {
    default: 10_000,
    why: "how long an unanswered award stays open",
  }),
  suspectAfterMs: key("BERTH_HOST_SUSPECT_AFTER_MS", ms(2000, 600_000), {
    default: 6000,
    why: "silence until a host gets no new work",
  }),
  lostAfterMs: key("BERTH_HOST_LOST_AFTER_MS", ms(4000, 3_600_000), {
    default: 10_000,
    why: "silence until a host's jobs are replaced",
  }),
  deployDeadlineMs: key("BERTH_DEPLOY_DEADLINE_MS", ms(5000, 3_600_000), {
    default: 300_000,
    why: "a deploy not routed by then is rolled back",
  }),
  unplaceableAfterMs: key("BERTH_UNPLACEABLE_AFTER_MS", ms(0, 3_600_000), {
    default: 30_000,
    why: "how long a job waits for room",
  }),
  drainMs: key("BERTH_DRAIN_MS", ms(0, 600_000), {
    default: 5000,
    why: "time for open connections between out of rotation and stop",
  }),
  readinessDeadlineMs: key("BERTH_READINESS_DEADLINE_MS", ms(1000, 1_800_000), {
    default: 60_000,
    why: "from start to listening",
  }),
  rebalance: key("BERTH_REBALANCE", z.enum(["off", "auto"]), {
    default: "auto",
    why: "auto: a host that came to take work gets its share by itself; nothing else begins a rebalance",
  }),
  rebalanceMovesPerHour: key("BERTH_REBALANCE_MOVES_PER_HOUR", z.coerce.number().int().min(1).max(3600), {
    default: 60,
    why: "most moves in an hour, one at a time: each is a start",
  }),
  rebalanceLeastGain: key("BERTH_REBALANCE_LEAST_GAIN", z.coerce.number().min(0.01).max(1000), {
    default: 0.1,
    why: "least gain of a move in the auction's score: a tenth of a host's memory, or a hundredth of an instance too many",
  }),
  rebalanceSettleMs: key("BERTH_REBALANCE_SETTLE_MS", ms(0, 86_400_000), {
    default: 300_000,
    why: "how long a host must take work before it gets its share: one that comes and goes moves nothing",
  }),
} as const;
