/**
 * What the edges say that they serve, from two sources: RouteApplied at once, and every heartbeat, which heals a
 * lost fact and tells of an edge that lost what it had. A heartbeat without an environment means version 0.
 */
import type { ChangedBeat, FullBeat, HostHeartbeat, SameBeat } from "@berth/shared/contracts/host.ts";
import type { RouteApplied } from "@berth/shared/contracts/route.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { LastWords } from "@berth/shared/domain/last-words.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { readAcks, storeAck } from "../outbound/route-store.ts";
import type { RouterTables } from "../outbound/tables.ts";

export class HostAcks {
  readonly #db: Kysely<RouterTables>;
  readonly #changed: () => void;
  /** What is stored, so that a heartbeat that says nothing new costs no statement. */
  readonly #stored = new Map<HostId, Map<string, number>>();
  readonly #lastWords = new LastWords<FullBeat, ChangedBeat, SameBeat>();
  /** Hosts whose heartbeat is being handled: the next one of the same host is dropped, another follows. */
  readonly #busy = new Set<HostId>();

  constructor(db: Kysely<RouterTables>, changed: () => void) {
    this.#db = db;
    this.#changed = changed;
  }

  readonly onRouteApplied = async (applied: z.infer<typeof RouteApplied.payload>): Promise<void> => {
    await this.#store(applied);
  };

  readonly onHeartbeat = async (beat: z.infer<typeof HostHeartbeat.payload>): Promise<void> => {
    const full = this.#lastWords.complete(beat);
    // What it repeats never came here: a full one follows.
    if (full === null) return;
    const { hostId, routes, atMs } = full;
    if (this.#busy.has(hostId)) return;
    this.#busy.add(hostId);
    try {
      const stored = this.#stored.get(hostId) ?? (await readAcks(this.#db, hostId));
      this.#stored.set(hostId, stored);
      for (const environmentId of new Set([...Object.keys(routes), ...stored.keys()])) {
        const version = routes[environmentId] ?? 0;
        if (stored.get(environmentId) !== version)
          await this.#store({ hostId, environmentId, version, atMs });
      }
    } finally {
      this.#busy.delete(hostId);
    }
  };

  async #store(ack: { hostId: HostId; environmentId: string; version: number; atMs: number }): Promise<void> {
    // Read again at the next heartbeat: what is stored may be a newer word than this one.
    this.#stored.delete(ack.hostId);
    if (await storeAck(this.#db, ack)) this.#changed();
  }
}
