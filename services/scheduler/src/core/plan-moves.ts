/**
 * Which jobs would be better placed elsewhere: the auction's own scores, asked again of what runs.
 *
 * Pure. A move must gain more than a threshold by the auction's score, and make the pod more even: first by zones, then
 * by instances of one service per host, then by memory. The second rule is an order in which every move goes down, so
 * moves never go in a circle and come to an end whatever the scores are. A present image or a start under way says
 * nothing about where a job should be, so both are left out.
 */
import type { HostId, JobId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { HostState, Lot, ScoreWeights } from "@berth/shared/domain/placement.ts";
import { reserve } from "@berth/shared/domain/placement.ts";
import type { HostPolicy } from "./candidates.ts";
import { compareIds } from "./compare-ids.ts";
import { judgeHost, ZoneCounts } from "./judge-host.ts";

/** A job that runs, is served, and may be moved start-first. */
export interface MovableJob {
  readonly jobId: JobId;
  readonly serviceId: ServiceId;
  readonly process: string;
  readonly slot: number;
  readonly hostId: HostId;
  readonly lot: Lot;
}

export interface Move {
  readonly jobId: JobId;
  readonly serviceId: ServiceId;
  readonly process: string;
  readonly slot: number;
  readonly fromHostId: HostId;
  readonly toHostId: HostId;
  /** By the auction's score. */
  readonly gain: number;
  readonly reason: string;
}

export interface MoveLimits {
  /** Below this gain a move is not worth its start. */
  readonly leastGain: number;
  readonly mostMoves: number;
}

export interface MovesGiven {
  readonly jobs: readonly MovableJob[];
  readonly hosts: readonly HostState[];
  readonly policies: ReadonlyMap<HostId, HostPolicy>;
  readonly weights: ScoreWeights;
}

/** The jobs of one round that are looked at; a larger pod takes more rounds. */
const MOST_JOBS = 2000;
/** Shares of memory are compared with this much doubt. */
const EVEN_ENOUGH = 1e-6;

/** The best move, then the best after it, and so on. @returns at most `mostMoves` */
export function planMoves(given: MovesGiven, limits: MoveLimits): Move[] {
  let hosts = [...given.hosts].sort((a, b) => compareIds(a.hostId, b.hostId));
  let jobs = [...given.jobs].sort((a, b) => compareIds(a.jobId, b.jobId)).slice(0, MOST_JOBS);
  const moves: Move[] = [];
  while (moves.length < limits.mostMoves) {
    const move = bestMove({ ...given, hosts, jobs }, limits.leastGain);
    if (move === null) return moves;
    moves.push(move);
    const moved = jobs.find((job) => job.jobId === move.jobId) as MovableJob;
    hosts = hosts.map((host) => afterMove(host, moved, move.toHostId));
    // Each job moves once per plan: its place is a guess until the host accepted it.
    jobs = jobs.filter((job) => job !== moved);
  }
  return moves;
}

function bestMove(given: MovesGiven, leastGain: number): Move | null {
  const weights = { ...given.weights, imagePresent: 0, notStarting: 0 };
  let best: Move | null = null;
  for (const job of given.jobs) {
    const from = given.hosts.find((host) => host.hostId === job.hostId);
    if (from === undefined) continue;
    const without = take(from, job.lot);
    const hosts = given.hosts.map((host) => (host === from ? without : host));
    const zones = new ZoneCounts(hosts);
    const score = (host: HostState) => {
      const policy = host === without ? undefined : given.policies.get(host.hostId);
      const zoneHasFewest = zones.hasFewest(job.serviceId, host.zone);
      return judgeHost(
        { ...host, cordoned: false, unavailable: host === without ? [] : host.unavailable },
        job.lot,
        weights,
        zoneHasFewest,
        policy,
        undefined,
      );
    };
    const stay = score(without);
    for (const to of hosts) {
      if (to === without || to.cordoned) continue;
      const there = score(to);
      if (typeof there !== "number") continue;
      const gain = typeof stay === "number" ? there - stay : 0;
      if (gain < Math.max(leastGain, best?.gain ?? 0) || gain === best?.gain) continue;
      if (!evens(hosts, without, to, job, given.weights)) continue;
      best = describe(job, from, to, gain, hosts);
    }
  }
  return best;
}

/** Whether the pod is more even with the job on `to` than where it was, by the first measure that differs. */
function evens(
  hosts: readonly HostState[],
  without: HostState,
  to: HostState,
  job: MovableJob,
  weights: ScoreWeights,
): boolean {
  const count = (host: HostState) => host.instancesByService[job.serviceId] ?? 0;
  const inZone = (zone: string) =>
    hosts.reduce((sum, host) => sum + (host.zone === zone ? count(host) : 0), 0);
  if (to.zone !== without.zone) {
    const [there, here] = [inZone(to.zone), inZone(without.zone)];
    if (there !== here) return there < here;
  }
  if (count(to) !== count(without)) return count(to) < count(without);
  const used = (host: HostState) =>
    (host.memoryTotalBytes - host.memoryFreeBytes + job.lot.resources.memoryBytes / 2) /
    host.memoryTotalBytes;
  const lighter = used(without) - used(to);
  return weights.fullMemory > weights.freeMemory ? lighter < -EVEN_ENOUGH : lighter > EVEN_ENOUGH;
}

function describe(
  job: MovableJob,
  from: HostState,
  to: HostState,
  gain: number,
  hosts: readonly HostState[],
): Move {
  const { jobId, serviceId, process, slot } = job;
  const key = { jobId, serviceId, process, slot };
  const count = (host: HostState) => host.instancesByService[serviceId] ?? 0;
  const zone = (name: string) => hosts.reduce((sum, host) => sum + (host.zone === name ? count(host) : 0), 0);
  const full = (host: HostState) => Math.round(100 * (1 - host.memoryFreeBytes / host.memoryTotalBytes));
  const reason =
    from.zone !== to.zone && zone(to.zone) < zone(from.zone)
      ? `zone ${from.zone} has ${zone(from.zone) + 1} instances of it, ${to.zone} has ${zone(to.zone)}`
      : count(to) < count(from) - 1
        ? `${from.name} has ${count(from)} instances of it, ${to.name} has ${count(to)}`
        : `${from.name} is ${full(from)} % full, ${to.name} ${full(to)} %`;
  return { ...key, fromHostId: from.hostId, toHostId: to.hostId, gain: Number(gain.toFixed(3)), reason };
}

function afterMove(host: HostState, job: MovableJob, toHostId: HostId): HostState {
  if (host.hostId === job.hostId) return take(host, job.lot);
  // What it starts is over when the next job moves.
  return host.hostId === toHostId ? { ...reserve(host, job.lot), startingCount: host.startingCount } : host;
}

/** The host's state without the lot. */
function take(host: HostState, lot: Lot): HostState {
  return {
    ...host,
    memoryFreeBytes: host.memoryFreeBytes + lot.resources.memoryBytes,
    diskFreeBytes: host.diskFreeBytes + lot.resources.diskBytes,
    cpuFreeMillis: host.cpuFreeMillis + lot.resources.cpuMillis,
    ceilings: host.ceilings.map((one) => ({ ...one, free: one.free + one.perJob })),
    jobSlotsFree: host.jobSlotsFree + 1,
    instancesByService: {
      ...host.instancesByService,
      [lot.serviceId]: Math.max(0, (host.instancesByService[lot.serviceId] ?? 0) - 1),
    },
  };
}
