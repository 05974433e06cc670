/**
 * What is known of the hosts right now: their standing bids (in memory, from heartbeats) and how long they were
 * silent (stored, so that router and api see the same).
 */
import type { ChangedBeat, FullBeat, HostHeartbeat, SameBeat } from "@berth/shared/contracts/host.ts";
import { AskBid } from "@berth/shared/contracts/host.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { LastWords } from "@berth/shared/domain/last-words.ts";
import type { HostState, Lot, Refusal } from "@berth/shared/domain/placement.ts";
import { reserve } from "@berth/shared/domain/placement.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import type { z } from "zod";
import { type Hearing, hear } from "../core/hearing.ts";
import {
  type Alarm,
  addSkew,
  countFreezes,
  isSkewed,
  judgeAlarms,
  type SkewSamples,
} from "../core/judge-alarms.ts";
import type { SilenceLimits } from "../core/judge-hosts.ts";
import { judgePods, type PodHostSilence, type PodVerdicts } from "../core/judge-pods.ts";
import { storeAlarms } from "./alarms.ts";
import { recordEvent } from "./events.ts";
import { Identities, type StoredIdentity } from "./identities.ts";
import { openJobs } from "./job-locks.ts";
import type { Tables } from "./tables.ts";

type Heartbeat = z.infer<typeof HostHeartbeat.payload>;

/** What a heartbeat says, in full. */
export interface Heard {
  readonly heartbeat: FullBeat;
  /** False beside another machine's word: then its list proves no absence, and no lease counts from it. */
  readonly settled: boolean;
  /** True when nothing but the time is new. */
  readonly isRepeat: boolean;
}

interface Bid {
  readonly state: HostState;
  readonly expiresAtMs: number;
}

export interface Bids {
  readonly states: HostState[];
  readonly silent: { hostId: HostId; host: string; refusal: Refusal }[];
}

export class HostRegistry {
  readonly #given: { db: Kysely<Tables>; bus: Bus; log: Log; limits: SilenceLimits };
  readonly #bids = new Map<HostId, Bid>();
  readonly #identities: Identities;
  readonly #lastWords = new LastWords<FullBeat, ChangedBeat, SameBeat>();
  readonly #states = new Map<HostId, "alive" | "suspect" | "lost">();
  readonly #promised = new Map<HostId, Set<readonly Lot[]>>();
  readonly #skews = new Map<HostId, SkewSamples>();
  /** Those of them that an alarm is due for. */
  readonly #skewed = new Set<HostId>();
  #hearing: Hearing = { sinceMs: Date.now(), lastMs: 0 };
  #frozenPods: readonly string[] = [];
  /** By pod, when this scheduler last saw it so. */
  readonly #frozenAtMs = new Map<string, number>();
  #frozenHosts: ReadonlySet<HostId> = new Set();

  constructor(given: { db: Kysely<Tables>; bus: Bus; log: Log; limits: SilenceLimits }) {
    this.#given = given;
    this.#identities = new Identities(given);
  }

  /** As judged last: hosts of pods in which nothing is given up, because most of their hosts fell silent at once. */
  get frozenHosts(): ReadonlySet<HostId> {
    return this.#frozenHosts;
  }

  /**
   * Takes a heartbeat's bid; it is stored elsewhere (`HeartbeatBook`).
   * @returns null when it is not this host's word, or repeats what is not known here: then the host is asked for all of it
   */
  async heard(heartbeat: Heartbeat): Promise<Heard | null> {
    const word = await this.#identities.hear(heartbeat);
    if (word === "refused") return null;
    const { hostId, atMs, expiresAtMs } = heartbeat;
    const nowMs = Date.now();
    this.#hearing = hear(this.#hearing, nowMs, this.#given.limits.suspectAfterMs);
    this.#noteSkew(hostId, addSkew(this.#skews.get(hostId) ?? [], atMs, nowMs));
    const full = this.#lastWords.complete(heartbeat);
    if (full === null) {
      void this.#ask(hostId);
      return null;
    }
    this.#bids.set(hostId, { state: full.state, expiresAtMs: nowMs + Math.max(0, expiresAtMs - atMs) });
    return { heartbeat: full, settled: word === "settled", isRepeat: heartbeat.form === "same" };
  }

  #noteSkew(hostId: HostId, samples: SkewSamples): void {
    this.#skews.set(hostId, samples);
    if (isSkewed(samples)) this.#skewed.add(hostId);
    else this.#skewed.delete(hostId);
  }

  /**
   * Lots on their way to a host count as taken there until it answered, whatever heartbeats say meanwhile.
   * @returns what to call with the host's own state after its answer, or null when it gave none
   */
  promise(hostId: HostId, lots: readonly Lot[]): (state: HostState | null) => void {
    const groups = this.#promised.get(hostId) ?? new Set();
    groups.add(lots);
    this.#promised.set(hostId, groups);
    return (state) => {
      groups.delete(lots);
      if (groups.size === 0 && this.#promised.get(hostId) === groups) this.#promised.delete(hostId);
      if (state === null) return;
      const old = this.#bids.get(hostId);
      this.#bids.set(hostId, { state, expiresAtMs: old?.expiresAtMs ?? Date.now() + 5000 });
    };
  }

  #withPromised(state: HostState): HostState {
    const groups = this.#promised.get(state.hostId);
    return groups === undefined ? state : [...groups].flat().reduce(reserve, state);
  }

  /**
   * Judges every host and, when one is lost, marks its jobs so. Most rounds change nothing: then no host is locked. Else
   * hosts are read again, locked, judged and written in one transaction: what was silent a moment ago may speak by now,
   * and others may have fallen silent.
   * @returns true when a host's state changed
   */
  async judge(fence: (trx: Transaction<Tables>) => Promise<void>): Promise<boolean> {
    return this.#given.db.transaction().execute(async (trx) => {
      await fence(trx);
      if (await this.#isQuiet(trx)) return false;
      const locked = await readSeen(trx);
      await this.#identities.sync(trx, locked);
      return this.#carryOut(trx, locked, this.#judgeSeen(locked));
    });
  }

  #judgeSeen(seen: readonly SeenHost[]): PodVerdicts {
    const { limits } = this.#given;
    return judgePods(seen, Date.now(), this.#hearing.sinceMs, limits, this.#frozenAtMs);
  }

  /** Whether every host speaks, as it did when they were judged last, so that there is nothing to judge. */
  async #isQuiet(trx: Transaction<Tables>): Promise<boolean> {
    if (this.#frozenPods.length + this.#skewed.size > 0) return false;
    for (const state of this.#states.values()) if (state !== "alive") return false;
    const heardSinceMs = Math.max(this.#hearing.sinceMs, Date.now() - this.#given.limits.suspectAfterMs);
    const { rows } = await sql<{ quiet: boolean }>`
      select not exists (select 1 from hosts_seen s join api.hosts h on h.id = s.host_id
                          where h.removed_at is null
                            and (s.state <> 'alive' or s.cloned is not null or s.last_heartbeat_at <= ${new Date(heardSinceMs)}))
             and not exists (select 1 from alarms where cleared_at is null) as quiet`.execute(trx);
    return rows[0]?.quiet === true;
  }

  #skewsOf(seen: readonly SeenHost[]): Map<HostId, SkewSamples> {
    const known = new Set(seen.map(({ hostId }) => hostId));
    return new Map([...this.#skews].filter(([hostId]) => known.has(hostId)));
  }

  async #carryOut(
    trx: Transaction<Tables>,
    seen: readonly SeenHost[],
    { verdicts, frozenPods }: PodVerdicts,
  ): Promise<boolean> {
    const nowMs = Date.now();
    for (const pod of frozenPods) this.#frozenAtMs.set(pod, nowMs);
    await this.#noteFrozen(trx, frozenPods, seen.length);
    const before = new Map(seen.map((host) => [host.hostId, host.state]));
    const changed = verdicts.filter((verdict) => verdict.state !== before.get(verdict.hostId));
    this.#states.clear();
    for (const verdict of verdicts) this.#states.set(verdict.hostId, verdict.state);
    const frozen = seen.filter(({ pod }) => frozenPods.includes(pod));
    this.#frozenHosts = new Set(frozen.map(({ hostId }) => hostId));
    await this.#alarm(trx, judgeAlarms(countFreezes(seen, verdicts, frozenPods), this.#skewsOf(seen)));
    for (const { hostId, state } of changed) {
      this.#given.log.warn("host.state-changed", { hostId, from: before.get(hostId), to: state });
      await trx.updateTable("hosts_seen").set({ state }).where("host_id", "=", hostId).execute();
    }
    const lost = verdicts.filter(({ state }) => state === "lost").map(({ hostId }) => hostId);
    return (await loseJobs(trx, lost)) || changed.length > 0;
  }

  /** Told when it begins, where it changes and when it ends. */
  async #noteFrozen(trx: Transaction<Tables>, frozenPods: readonly string[], hosts: number): Promise<void> {
    if (frozenPods.join() === this.#frozenPods.join()) return;
    this.#frozenPods = frozenPods;
    if (frozenPods.length === 0) return recordEvent(trx, { kind: "evictions.resumed", details: {} });
    const details = { pods: frozenPods, reason: "more than half of the hosts fell silent at once" };
    this.#given.log.error("hosts.evictions-frozen", { ...details, hosts });
    await recordEvent(trx, { kind: "evictions.frozen", details });
  }

  async #alarm(trx: Transaction<Tables>, wanted: readonly Alarm[]): Promise<void> {
    const changes = await storeAlarms(trx, wanted);
    for (const alarm of changes.raised) this.#given.log.error("alarm.raised", { ...alarm });
    for (const alarm of changes.cleared) this.#given.log.info("alarm.cleared", { ...alarm });
  }

  /** Every host's bid, asked for afresh where the standing one is stale; the others with the reason of their silence. */
  async bids(hosts: readonly { id: HostId; name: string }[]): Promise<Bids> {
    const nowMs = Date.now();
    const standing = hosts.map(({ id }) => this.#standing(id, nowMs));
    // Most bids stand: nothing is waited for.
    const stale = hosts.filter(
      (host, at) => standing[at] === undefined && !this.#identities.isCloned(host.id),
    );
    const known = stale.filter(({ id }) => (this.#states.get(id) ?? "alive") === "alive");
    const asked = new Map(await Promise.all(known.map(async ({ id }) => [id, await this.#ask(id)] as const)));
    const states: HostState[] = [];
    const silent: Bids["silent"] = [];
    for (const [at, host] of hosts.entries()) {
      const state = standing[at] ?? asked.get(host.id);
      if (state !== undefined && state !== null) states.push(this.#withPromised(state));
      else silent.push({ hostId: host.id, host: host.name, refusal: this.#whySilent(host.id) });
    }
    return { states, silent };
  }

  #standing(hostId: HostId, nowMs: number): HostState | undefined {
    if (this.#identities.isCloned(hostId)) return undefined;
    const bid = this.#bids.get(hostId);
    return bid !== undefined && bid.expiresAtMs > nowMs ? bid.state : undefined;
  }

  #whySilent(hostId: HostId): Refusal {
    if (this.#identities.isCloned(hostId))
      return { code: "identity-cloned", detail: "two machines speak with its credentials" };
    return this.#states.get(hostId) === "alive"
      ? { code: "bid-stale", detail: "it did not answer in time when asked for a bid" }
      : { code: "host-silent", detail: "no heartbeat" };
  }

  async #ask(hostId: HostId): Promise<HostState | null> {
    try {
      const answer = await this.#given.bus.request(AskBid, { hostId }, { timeoutMs: 300 });
      this.#bids.set(hostId, { state: answer.state, expiresAtMs: Date.now() + 4000 });
      return answer.state;
    } catch {
      return null;
    }
  }
}

interface SeenHost extends PodHostSilence, StoredIdentity {}

/** Locked in the order of the ids, as all do that touch many hosts. */
async function readSeen(trx: Transaction<Tables>): Promise<readonly SeenHost[]> {
  const { rows } = await sql<SeenHost>`
    select s.host_id as "hostId", s.state, (extract(epoch from s.last_heartbeat_at) * 1000)::float8 as "lastHeartbeatAtMs",
           s.cloned, (extract(epoch from h.identity_resolved_at) * 1000)::float8 as "resolvedAtMs", h.pod
      from hosts_seen s join api.hosts h on h.id = s.host_id
     where h.removed_at is null order by s.host_id for update of s`.execute(trx);
  return rows;
}

/** Every time anew: a job's late observation may have come after its host was lost. */
async function loseJobs(trx: Transaction<Tables>, lostHosts: readonly HostId[]): Promise<boolean> {
  if (lostHosts.length === 0) return false;
  // What the service's policy says of it is what `berth why` and `berth status` tell.
  const updated = await sql`with ${openJobs(sql`
               (held_by = any(${lostHosts}) or (pending and host_id = any(${lostHosts}))) and state not in ('requested', 'lost')`)}
                 update jobs j set state = 'lost', ready = false, updated_at = now(),
                   reason = (select case when s.policy->'replaceAfterMs' = 'null'::jsonb then 'its host went silent; it waits for it and is never replaced'
                                         when s.policy ? 'replaceAfterMs' then 'its host went silent; it is replaced after ' || (s.policy->>'replaceAfterMs')::bigint / 1000 || ' s of silence'
                                         else 'its host went silent' end
                               from api.services s where s.id = j.service_id)
                  from open where j.id = open.id`.execute(trx);
  return (updated.numAffectedRows ?? 0n) > 0n;
}
