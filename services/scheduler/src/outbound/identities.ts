/**
 * Hosts that two machines speak for. Who speaks is judged in memory, from heartbeats; that it happened is stored, and
 * stays until an operator says which machine is the host: until then the host gets no awards, and what it runs stays.
 */
import type { HostHeartbeat } from "@berth/shared/contracts/host.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely, Transaction } from "kysely";
import type { z } from "zod";
import { judgeIdentity, NOBODY, type Speakers } from "../core/judge-identity.ts";
import { recordEvent } from "./events.ts";
import type { Tables } from "./tables.ts";

type Heartbeat = z.infer<typeof HostHeartbeat.payload>;

/**
 * Whose word a heartbeat is: the host's; the host's, but another instance spoke just now, so that its list proves no
 * absence; or a second machine's, of which nothing is taken.
 */
export type Word = "settled" | "unsettled" | "refused";

export interface StoredIdentity {
  readonly hostId: HostId;
  readonly cloned: { readonly sinceMs: number } | null;
  readonly resolvedAtMs: number | null;
}

export class Identities {
  readonly #given: { db: Kysely<Tables>; log: Log };
  readonly #speakers = new Map<HostId, Speakers>();
  readonly #machines = new Map<string, string>();
  readonly #cloned = new Map<HostId, { readonly sinceMs: number }>();

  constructor(given: { db: Kysely<Tables>; log: Log }) {
    this.#given = given;
  }

  isCloned(hostId: HostId): boolean {
    return this.#cloned.has(hostId);
  }

  async hear(heartbeat: Heartbeat): Promise<Word> {
    const { hostId, bootId, agentStartedAtMs, atMs } = heartbeat;
    const instance = `${bootId}/${agentStartedAtMs}`;
    const beat = { instance, madeAtMs: atMs, heardAtMs: Date.now() };
    const verdict = judgeIdentity(this.#speakers.get(hostId) ?? NOBODY, beat);
    this.#speakers.set(hostId, verdict.speakers);
    if (heartbeat.form !== "same" && heartbeat.machine !== undefined)
      this.#machines.set(instance, heartbeat.machine);
    if (verdict.cloned) await this.#store(hostId, instance, verdict);
    if (!verdict.believed) return "refused";
    return verdict.settled ? "settled" : "unsettled";
  }

  async #store(
    hostId: HostId,
    instance: string,
    { speakers, believed }: { speakers: Speakers; believed: boolean },
  ): Promise<void> {
    // The second machine's beats keep what is stored fresh.
    if (this.#cloned.has(hostId) && believed) return;
    const taken = believed ? instance : null;
    const instances = speakers.heard.map((one) => ({
      instance: one.instance,
      machine: this.#machines.get(one.instance) ?? "unknown",
      taken: taken === null ? one.instance !== instance : one.instance === taken,
      lastHeardMs: one.lastHeardMs,
    }));
    const known = this.#cloned.get(hostId);
    const cloned = { sinceMs: known?.sinceMs ?? Date.now(), instances };
    await this.#given.db.transaction().execute(async (trx) => {
      await trx
        .updateTable("hosts_seen")
        .set({ cloned: JSON.stringify(cloned) })
        .where("host_id", "=", hostId)
        .execute();
      if (known !== undefined) return;
      const reason = instances.map(({ machine }) => machine).join(" and ");
      await recordEvent(trx, { kind: "host.identity-cloned", hostId, details: { reason, instances } });
    });
    if (known === undefined) this.#given.log.error("host.identity-cloned", { hostId, instances });
    this.#cloned.set(hostId, { sinceMs: cloned.sinceMs });
  }

  /** Takes what is stored, also by an earlier scheduler, and what an operator resolved since. */
  async sync(trx: Transaction<Tables>, stored: readonly StoredIdentity[]): Promise<void> {
    for (const { hostId, cloned, resolvedAtMs } of stored) {
      if (cloned === null) continue;
      if (resolvedAtMs === null || resolvedAtMs < cloned.sinceMs) {
        this.#cloned.set(hostId, { sinceMs: cloned.sinceMs });
        continue;
      }
      await trx.updateTable("hosts_seen").set({ cloned: null }).where("host_id", "=", hostId).execute();
      await recordEvent(trx, { kind: "host.identity-resolved", hostId, details: {} });
      this.#cloned.delete(hostId);
      // Two that still speak are found again.
      this.#speakers.delete(hostId);
    }
  }
}
