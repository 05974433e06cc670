/** Every case, in the order in which they are played: what disturbs the pod most comes last. */
import type { HostCase } from "./case.ts";
import { cutOff } from "./cases/cut-off.ts";
import { drain } from "./cases/drain.ts";
import { hostDies } from "./cases/host-dies.ts";
import { massLoss } from "./cases/mass-loss.ts";
import { outage } from "./cases/outage.ts";
import { powerCycle, powerCycleAlone } from "./cases/power-cycle.ts";
import { sleep } from "./cases/sleep.ts";
import { staleScheduler } from "./cases/stale-scheduler.ts";

export const hostCases: readonly HostCase[] = [
  drain,
  sleep,
  hostDies,
  cutOff,
  massLoss,
  staleScheduler,
  powerCycle,
  powerCycleAlone,
  outage,
];
