/**
 * What is known of the hosts right now: their standing bids (in memory, from heartbeats) and how long they were
 * silent (stored, so that router and api see the same).
 */
import type { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import { AskBid } from "@berth/shared/contracts/host.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { HostState, Lot, Refusal } from "@berth/shared/domain/placement.ts";
import { reserve } from "@berth/shared/domain/placement.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import type { z } from "zod";
import { type Hearing, hear } from "../core/hearing.ts";
import { type Alarm, addSkew, countFreezes, judgeAlarms, type SkewSamples } from "../core/judge-alarms.ts";
import type { SilenceLimits } from "../core/judge-hosts.ts";
import { judgePods } from "../core/judge-pods.ts";
import { storeAlarms } from "./alarms.ts";
import { recordEvent } from "./events.ts";
import { Identities, type Word } from "./identities.ts";
import type { Tables } from "./tables.ts";

type Heartbeat = z.infer<typeof HostHeartbeat.payload>;

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
  readonly #states = new Map<HostId, "alive" | "suspect" | "lost">();
  readonly #promised = new Map<HostId, Set<readonly Lot[]>>();
  readonly #skews = new Map<HostId, SkewSamples>();
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

  /** Takes a heartbeat's bid; it is stored elsewhere (`HeartbeatBook`). @returns whose word it is */
  async heard(heartbeat: Heartbeat): Promise<Word> {
    const word = await this.#identities.hear(heartbeat);
    if (word === "refused") return word;
    const nowMs = Date.now();
    this.#hearing = hear(this.#hearing, nowMs, this.#given.limits.suspectAfterMs);
    this.#skews.set(
      heartbeat.hostId,
      addSkew(this.#skews.get(heartbeat.hostId) ?? [], heartbeat.atMs, nowMs),
    );
    this.#bids.set(heartbeat.hostId, {
      state: heartbeat.state,
      expiresAtMs: nowMs + Math.max(0, heartbeat.expiresAtMs - heartbeat.atMs),
    });
    return word;
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
   * Judges every host and, when one is lost, marks its jobs so. Read, judged and written in one transaction: what was
   * silent a moment ago may speak by now, and others may have fallen silent.
   * @returns true when a host's state changed
   */
  async judge(fence: (trx: Transaction<Tables>) => Promise<void>): Promise<boolean> {
    return this.#given.db.transaction().execute(async (trx) => {
      await fence(trx);
      const rows = await sql<{
        host_id: HostId;
        state: "alive" | "suspect" | "lost";
        last_heartbeat_at: Date;
        pod: string;
        cloned: { sinceMs: number } | null;
        resolved_at: Date | null;
      }>`
        select s.host_id, s.state, s.last_heartbeat_at, s.cloned, h.identity_resolved_at as resolved_at, h.pod from hosts_seen s join api.hosts h on h.id = s.host_id
         where h.removed_at is null order by s.host_id for update of s`.execute(trx);
      const silences = rows.rows.map((row) => ({
        hostId: row.host_id,
        state: row.state,
        lastHeartbeatAtMs: row.last_heartbeat_at.getTime(),
        pod: row.pod,
      }));
      const nowMs = Date.now();
      const { verdicts, frozenPods } = judgePods(
        silences,
        nowMs,
        this.#hearing.sinceMs,
        this.#given.limits,
        this.#frozenAtMs,
      );
      await this.#identities.sync(
        trx,
        rows.rows.map((row) => ({
          hostId: row.host_id,
          cloned: row.cloned,
          resolvedAtMs: row.resolved_at?.getTime() ?? null,
        })),
      );
      for (const pod of frozenPods) this.#frozenAtMs.set(pod, nowMs);
      await this.#noteFrozen(trx, frozenPods, silences.length);
      const before = new Map(silences.map((host) => [host.hostId, host.state]));
      const changed = verdicts.filter((verdict) => verdict.state !== before.get(verdict.hostId));
      for (const verdict of verdicts) this.#states.set(verdict.hostId, verdict.state);
      const frozen = silences.filter(({ pod }) => frozenPods.includes(pod));
      this.#frozenHosts = new Set(frozen.map(({ hostId }) => hostId));
      const known = new Map([...this.#skews].filter(([hostId]) => before.has(hostId)));
      await this.#alarm(trx, judgeAlarms(countFreezes(silences, verdicts, frozenPods), known));
      for (const { hostId, state } of changed) {
        this.#given.log.warn("host.state-changed", { hostId, from: before.get(hostId), to: state });
        await trx.updateTable("hosts_seen").set({ state }).where("host_id", "=", hostId).execute();
      }
      const lost = verdicts.filter(({ state }) => state === "lost").map(({ hostId }) => hostId);
      return (await loseJobs(trx, lost)) || changed.length > 0;
    });
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
    const asked = new Map(await Promise.all(stale.map(async ({ id }) => [id, await this.#ask(id)] as const)));
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
    const known = this.#states.get(hostId);
    if (known !== undefined && known !== "alive") return null;
    try {
      const answer = await this.#given.bus.request(AskBid, { hostId }, { timeoutMs: 300 });
      this.#bids.set(hostId, { state: answer.state, expiresAtMs: Date.now() + 4000 });
      return answer.state;
    } catch {
      return null;
    }
  }
}

/** Every time anew: a job's late observation may have come after its host was lost. */
async function loseJobs(trx: Transaction<Tables>, lostHosts: readonly HostId[]): Promise<boolean> {
  if (lostHosts.length === 0) return false;
  // What the service's policy says of it is what `berth why` and `berth status` tell.
  const updated = await sql`update jobs set state = 'lost', ready = false, updated_at = now(),
                   reason = (select case when s.policy->'replaceAfterMs' = 'null'::jsonb then 'its host went silent; it waits for it and is never replaced'
                                         when s.policy ? 'replaceAfterMs' then 'its host went silent; it is replaced after ' || (s.policy->>'replaceAfterMs')::bigint / 1000 || ' s of silence'
                                         else 'its host went silent' end
                               from api.services s where s.id = jobs.service_id)
             where (held_by = any(${lostHosts}) or (pending and host_id = any(${lostHosts}))) and state not in ('requested', 'lost')`.execute(
    trx,
  );
  return (updated.numAffectedRows ?? 0n) > 0n;
}
