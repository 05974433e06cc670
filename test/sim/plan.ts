/**
 * What will happen in a run, as a list made from the seed before it starts: so that a failing run can be made
 * shorter by leaving things out.
 */
import { DEFAULT_PARTITION_POLICY, type PartitionPolicy } from "@berth/shared/domain/service-policy.ts";
import { Rng } from "./rng.ts";
import { CALM, type Weather } from "./world.ts";

export type Act =
  | {
      readonly kind: "deploy";
      readonly service: number;
      readonly quality: "good" | "crashes" | "never-listens";
    }
  | { readonly kind: "scale"; readonly service: number; readonly scale: number }
  | { readonly kind: "cancel"; readonly service: number }
  | { readonly kind: "rebalance" }
  | { readonly kind: "agent-crash"; readonly host: number; readonly forMs: number }
  | { readonly kind: "agent-pause"; readonly host: number; readonly forMs: number }
  | { readonly kind: "power-cut"; readonly host: number; readonly forMs: number }
  | { readonly kind: "cut"; readonly hosts: readonly number[]; readonly way: Way; readonly forMs: number }
  | { readonly kind: "scheduler-crash"; readonly scheduler: number; readonly forMs: number }
  | { readonly kind: "scheduler-pause"; readonly scheduler: number; readonly forMs: number }
  | { readonly kind: "scheduler-cut"; readonly scheduler: number; readonly way: Way; readonly forMs: number }
  | { readonly kind: "record-down"; readonly forMs: number }
  | { readonly kind: "restore"; readonly what: "backup" | "empty" | "no-jobs" }
  | { readonly kind: "disk-full"; readonly host: number; readonly forMs: number }
  | { readonly kind: "engine-hangs"; readonly host: number; readonly forMs: number }
  | { readonly kind: "container-crash"; readonly host: number }
  | { readonly kind: "ledger-damage"; readonly host: number };

export type Way = "in" | "out" | "both";

export interface PlannedAct {
  readonly atMs: number;
  readonly act: Act;
}

export interface Plan {
  readonly seed: number;
  /** Memory of each host in jobs of the usual size. */
  readonly hostSizes: readonly number[];
  readonly scales: readonly number[];
  readonly skewsMs: readonly number[];
  /** What each service's owner said of hosts that are unreachable. */
  readonly policies: readonly PartitionPolicy[];
  readonly weather: Weather;
  readonly acts: readonly PlannedAct[];
  /** When all faults end; from here on the pod must converge. */
  readonly calmAtMs: number;
}

export function makePlan(seed: number, rng: Rng): Plan {
  const hostsCount = rng.between(3, 5);
  const servicesCount = rng.between(1, 2);
  const scales = Array.from({ length: servicesCount }, () => rng.between(1, 3));
  const severe = rng.chance(0.7);
  const calmAtMs = rng.between(40, 70) * 1000;
  const restores = rng.chance(0.12);
  const single = !restores && rng.chance(0.15);
  const acts: PlannedAct[] = [];
  for (let service = 0; service < servicesCount; service++)
    acts.push({ atMs: rng.between(0, 3000), act: good(service) });
  const flaky = !restores && !single && rng.chance(0.2);
  if (flaky) acts.push(...flakyActs(rng, hostsCount, servicesCount));
  else if (single) acts.push({ atMs: rng.between(20_000, 30_000), act: hostLoss(rng, hostsCount) });
  else
    for (let i = rng.between(2, 9); i > 0; i--)
      acts.push({ atMs: rng.between(1000, calmAtMs - 1000), act: anyAct(rng, hostsCount, servicesCount) });
  if (restores) {
    const what = rng.pick(["backup", "empty", "no-jobs", "no-jobs"] as const);
    acts.push({ atMs: rng.between(20_000, calmAtMs - 10_000), act: { kind: "restore", what } });
  }
  // Small hosts decline more often; together they hold every service twice, so that a deploy always fits.
  const needed = 2 * (scales.reduce((sum, one) => sum + one, 0) + 2) + 2;
  const each = Math.ceil(needed / (rng.chance(0.5) ? hostsCount : hostsCount - 1));
  const apart = planPolicies(seed, hostsCount, servicesCount, restores || single);
  return {
    seed,
    policies: apart.policies,
    hostSizes: Array.from({ length: hostsCount }, () => each + rng.between(0, 1)),
    scales,
    skewsMs: Array.from({ length: hostsCount }, () => rng.between(-500, 500)),
    weather: flaky
      ? { ...CALM, late: rng.pick([0, 0.3]), lateMs: rng.pick([6000, 25_000]), twice: 0.3 }
      : single || !severe
        ? { ...CALM }
        : roughWeather(rng),
    acts: [...acts, ...apart.acts].sort((a, b) => a.atMs - b.atMs),
    calmAtMs: (single ? 70_000 : calmAtMs) + apart.longerMs,
  };
}

const POLICIES: readonly PartitionPolicy[] = [
  { replaceAfterMs: 30_000, stopAfterMs: 12_000, onReturn: "keep-replacement", singleWriter: true },
  { replaceAfterMs: 30_000, stopAfterMs: 15_000, onReturn: "keep-replacement", singleWriter: true },
  { replaceAfterMs: 60_000, stopAfterMs: 30_000, onReturn: "keep-replacement", singleWriter: true },
  { replaceAfterMs: null, stopAfterMs: null, onReturn: "keep-replacement", singleWriter: true },
  { replaceAfterMs: null, stopAfterMs: null, onReturn: "keep-replacement", singleWriter: false },
  { replaceAfterMs: 10_000, stopAfterMs: null, onReturn: "keep-original", singleWriter: false },
  { replaceAfterMs: 20_000, stopAfterMs: 10_000, onReturn: "keep-original", singleWriter: false },
  DEFAULT_PARTITION_POLICY,
];

/**
 * Policies and long absences, for two seeds of five. They are dealt from numbers of their own, so that the other acts
 * of a seed stay what they were.
 */
function planPolicies(seed: number, hosts: number, services: number, plain: boolean) {
  const none = { policies: [] as PartitionPolicy[], acts: [] as PlannedAct[], longerMs: 0 };
  if (plain || (seed % 5 !== 0 && seed % 5 !== 3)) return none;
  const rng = new Rng(seed ^ 0x2545f491);
  const acts: PlannedAct[] = [];
  for (let i = rng.between(1, 3); i > 0; i--) {
    const atMs = rng.between(8000, 50_000);
    const host = rng.between(0, hosts - 1);
    const way = rng.pick(["in", "out", "both"] as const);
    acts.push({ atMs, act: { kind: "cut", hosts: [host], way, forMs: rng.between(25_000, 80_000) } });
    const within = atMs + rng.between(0, 15_000);
    const alsoAt = rng.pick<Act | null>([
      { kind: "power-cut", host, forMs: rng.between(2000, 20_000) },
      { kind: "agent-crash", host, forMs: rng.between(100, 5000) },
      null,
    ]);
    if (alsoAt !== null) acts.push({ atMs: within, act: alsoAt });
    if (rng.chance(0.5)) acts.push({ atMs: within, act: good(rng.between(0, services - 1)) });
  }
  // Policies and rebalances are dealt apart, so that adding one does not change the other.
  const again = new Rng(seed ^ 0x6b79d8a1);
  if (again.chance(0.6)) acts.push({ atMs: again.between(15_000, 90_000), act: { kind: "rebalance" } });
  if (rng.chance(0.3))
    acts.push({
      atMs: rng.between(8000, 50_000),
      act: { kind: "ledger-damage", host: rng.between(0, hosts - 1) },
    });
  return { policies: Array.from({ length: services }, () => rng.pick(POLICIES)), acts, longerMs: 60_000 };
}

function roughWeather(rng: Rng): Weather {
  return {
    loss: rng.pick([0, 0.02, 0.1, 0.25]),
    late: rng.pick([0, 0.02, 0.1]),
    lateMs: rng.pick([500, 5000, 25_000]),
    twice: rng.pick([0, 0.05, 0.2]),
    engineFaults: rng.pick([0, 0.02, 0.1]),
    slowRecord: rng.pick([0, 0.02, 0.1]),
    wipedStream: rng.pick([0, 0.05, 0.3]),
  };
}

function good(service: number): Act {
  return { kind: "deploy", service, quality: "good" };
}

function hostLoss(rng: Rng, hosts: number): Act {
  const host = rng.between(0, hosts - 1);
  return rng.chance(0.5)
    ? { kind: "power-cut", host, forMs: 60_000 }
    : { kind: "cut", hosts: [host], way: "both", forMs: 60_000 };
}

/** Hosts that decline, or do not hear, just when they are awarded something: engines that stop and go, cut links. */
function flakyActs(rng: Rng, hosts: number, services: number): PlannedAct[] {
  const acts: PlannedAct[] = [];
  for (let i = 0; i < 4; i++) {
    const atMs = 6000 + i * 9000 + rng.between(0, 3000);
    acts.push({ atMs, act: good(rng.between(0, services - 1)) });
    for (let j = 0; j < 3; j++) {
      const host = rng.between(0, hosts - 1);
      const stops = { kind: "engine-hangs", host, forMs: rng.between(200, 2500) } as const;
      const cut = { kind: "cut", hosts: [host], way: "in", forMs: rng.between(9000, 14_000) } as const;
      acts.push({ atMs: atMs + rng.between(-500, 1500), act: rng.chance(0.7) ? stops : cut });
    }
  }
  return acts;
}

function anyAct(rng: Rng, hosts: number, services: number): Act {
  const host = rng.between(0, hosts - 1);
  const service = rng.between(0, services - 1);
  const scheduler = rng.between(0, 1);
  const way = rng.pick(["in", "out", "both"] as const);
  const makers: readonly (() => Act)[] = [
    () => good(service),
    () => ({ kind: "deploy", service, quality: rng.pick(["good", "crashes", "never-listens"] as const) }),
    () => ({ kind: "scale", service, scale: rng.between(1, 4) }),
    () => ({ kind: "cancel", service }),
    () => ({ kind: "agent-crash", host, forMs: rng.between(100, 8000) }),
    () => ({ kind: "agent-pause", host, forMs: rng.between(500, 25_000) }),
    () => ({ kind: "power-cut", host, forMs: rng.between(2000, 30_000) }),
    () => ({ kind: "cut", hosts: [host], way, forMs: rng.between(2000, 30_000) }),
    () => ({ kind: "cut", hosts: majority(rng, hosts), way, forMs: rng.between(8000, 30_000) }),
    () => ({ kind: "scheduler-crash", scheduler, forMs: rng.between(100, 10_000) }),
    () => ({ kind: "scheduler-pause", scheduler, forMs: rng.between(500, 30_000) }),
    () => ({ kind: "scheduler-pause", scheduler, forMs: rng.between(3000, 8000) }),
    () => ({ kind: "scheduler-cut", scheduler, way, forMs: rng.between(2000, 20_000) }),
    () => ({ kind: "record-down", forMs: rng.between(500, 15_000) }),
    () => ({ kind: "disk-full", host, forMs: rng.between(2000, 20_000) }),
    () => ({ kind: "engine-hangs", host, forMs: rng.between(2000, 20_000) }),
    () => ({ kind: "container-crash", host }),
    () => ({ kind: "ledger-damage", host }),
    () => ({ kind: "ledger-damage", host }),
    () => ({ kind: "deploy", service, quality: "good" }),
  ];
  return rng.pick(makers)();
}

function majority(rng: Rng, hosts: number): number[] {
  const first = rng.between(0, hosts - 1);
  return Array.from({ length: Math.floor(hosts / 2) + 1 }, (_, i) => (first + i) % hosts);
}
