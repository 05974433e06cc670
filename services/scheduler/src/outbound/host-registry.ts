/**
 * What is known of the hosts right now: their standing bids (in memory, from heartbeats) and how long they were
 * silent (stored, so that router and api see the same).
 */
import type { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import { AskBid } from "@berth/shared/contracts/host.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { HostState, Refusal } from "@berth/shared/domain/placement.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import type { z } from "zod";
import { type Hearing, hear } from "../core/hearing.ts";
import type { SilenceLimits } from "../core/judge-hosts.ts";
import { judgeHosts } from "../core/judge-hosts.ts";
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
  readonly #states = new Map<HostId, "alive" | "suspect" | "lost">();
  #hearing: Hearing = { sinceMs: Date.now(), lastMs: 0 };

  constructor(given: { db: Kysely<Tables>; bus: Bus; log: Log; limits: SilenceLimits }) {
    this.#given = given;
  }

  /** Takes a heartbeat: the standing bid, and the proof of life. */
  async heard(heartbeat: Heartbeat): Promise<void> {
    const nowMs = Date.now();
    this.#hearing = hear(this.#hearing, nowMs, this.#given.limits.suspectAfterMs);
    this.#bids.set(heartbeat.hostId, {
      state: heartbeat.state,
      expiresAtMs: nowMs + Math.max(0, heartbeat.expiresAtMs - heartbeat.atMs),
    });
    const { jobs: _jobs, ...kept } = heartbeat;
    await sql`
      insert into hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat)
      values (${heartbeat.hostId}, 'alive', now(), ${heartbeat.bootId}, ${JSON.stringify(kept)})
      on conflict (host_id) do update set state = 'alive', last_heartbeat_at = now(), boot_id = excluded.boot_id, heartbeat = excluded.heartbeat`.execute(
      this.#given.db,
    );
  }

  /** A fresher state than the last heartbeat's, from the host's own answer. */
  refresh(hostId: HostId, state: HostState): void {
    const old = this.#bids.get(hostId);
    this.#bids.set(hostId, { state, expiresAtMs: old?.expiresAtMs ?? Date.now() + 5000 });
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
      }>`
        select s.host_id, s.state, s.last_heartbeat_at from hosts_seen s join api.hosts h on h.id = s.host_id
         where h.removed_at is null order by s.host_id for update of s`.execute(trx);
      const silences = rows.rows.map((row) => ({
        hostId: row.host_id,
        state: row.state,
        lastHeartbeatAtMs: row.last_heartbeat_at.getTime(),
      }));
      const { verdicts, frozen } = judgeHosts(
        silences,
        Date.now(),
        this.#hearing.sinceMs,
        this.#given.limits,
      );
      const before = new Map(silences.map((host) => [host.hostId, host.state]));
      const changed = verdicts.filter((verdict) => verdict.state !== before.get(verdict.hostId));
      for (const verdict of verdicts) this.#states.set(verdict.hostId, verdict.state);
      if (frozen && changed.length > 0)
        this.#given.log.error("hosts.evictions-frozen", {
          reason: "more than half of the hosts fell silent at once",
          hosts: silences.length,
        });
      for (const { hostId, state } of changed) {
        this.#given.log.warn("host.state-changed", { hostId, from: before.get(hostId), to: state });
        await storeVerdict(trx, hostId, state);
      }
      return changed.length > 0;
    });
  }

  /** Every host's bid, asked for afresh where the standing one is stale; the others with the reason of their silence. */
  async bids(hosts: readonly { id: HostId; name: string }[]): Promise<Bids> {
    const states: HostState[] = [];
    const silent: Bids["silent"] = [];
    await Promise.all(
      hosts.map(async (host) => {
        const bid = await this.#bidOf(host.id);
        if (bid !== null) states.push(bid);
        else if (this.#states.get(host.id) === "alive")
          silent.push({
            hostId: host.id,
            host: host.name,
            refusal: { code: "bid-stale", detail: "it did not answer in time when asked for a bid" },
          });
        else
          silent.push({
            hostId: host.id,
            host: host.name,
            refusal: { code: "host-silent", detail: "no heartbeat" },
          });
      }),
    );
    return { states, silent };
  }

  async #bidOf(hostId: HostId): Promise<HostState | null> {
    const standing = this.#bids.get(hostId);
    if (standing !== undefined && standing.expiresAtMs > Date.now()) return standing.state;
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

async function storeVerdict(
  trx: Transaction<Tables>,
  hostId: HostId,
  state: "alive" | "suspect" | "lost",
): Promise<void> {
  await trx.updateTable("hosts_seen").set({ state }).where("host_id", "=", hostId).execute();
  if (state !== "lost") return;
  await sql`update jobs set state = 'lost', ready = false, reason = 'its host went silent', updated_at = now()
             where host_id = ${hostId} and state not in ('requested', 'finished', 'failed', 'lost')`.execute(
    trx,
  );
}
