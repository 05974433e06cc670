/**
 * Writes heartbeats down, all that come within a moment in one go: a thousand hosts speak five hundred times a second.
 *
 * What must stay true: a heartbeat is answered, so that leases count from it, only once it is stored; and one that cannot
 * be stored holds up no other host's.
 */
import type { FullBeat } from "@berth/shared/contracts/host.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { PREPARED, UNSYNCED } from "@berth/shared/kit/database.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import type { DesiredSets } from "./host-desired.ts";
import type { Heard } from "./host-registry.ts";
import { jsonLines } from "./json-lines.ts";
import type { Observations } from "./observations.ts";
import type { Tables } from "./tables.ts";

interface Given {
  /** `storeBeats`, of at most one heartbeat per host. */
  readonly store: (beats: readonly FullBeat[]) => Promise<void>;
  /** `touchHosts`: of hosts whose last full heartbeat is stored. @returns how many of them are in the record */
  readonly touch: (hosts: readonly HostId[]) => Promise<number>;
  readonly log: Log;
  readonly desired: Pick<DesiredSets, "answer" | "report">;
  readonly observations: Pick<Observations, "takeLists">;
  /** Something about the jobs changed. */
  readonly wake: () => void;
}

/** How long the first of a group waits for others: little beside the 2 s between two of one host. */
const GATHER_MS = 50;
const MOST_AT_ONCE = 500;

export class HeartbeatBook {
  readonly #given: Given;
  /** The newest of each host, so as many as there are hosts at most. */
  #waiting = new Map<HostId, Heard>();
  /** Which full heartbeat of each host is in the record. */
  readonly #stored = new Map<HostId, string>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(given: Given) {
    this.#given = given;
  }

  /** Returns at once. What cannot be stored is told in the log: the host speaks again. */
  take(beat: Heard): void {
    if (this.#closed) return;
    // A host that spoke twice meanwhile goes by its newer word, and to the end of the line.
    this.#waiting.delete(beat.heartbeat.hostId);
    this.#waiting.set(beat.heartbeat.hostId, beat);
    if (this.#timer === undefined && this.#writing === undefined) this.#schedule();
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#writeGroup().finally(() => {
        this.#writing = undefined;
        if (this.#waiting.size > 0 && !this.#closed) this.#schedule();
      });
    }, GATHER_MS);
  }

  async #writeGroup(): Promise<void> {
    const group = [...this.#waiting.values()].slice(0, MOST_AT_ONCE);
    for (const { heartbeat } of group) this.#waiting.delete(heartbeat.hostId);
    if (await this.#tryWrite(group)) return;
    if (group.length > 1) for (const one of group) await this.#tryWrite([one]);
  }

  async #tryWrite(group: readonly Heard[]): Promise<boolean> {
    try {
      await this.#write(group);
      return true;
    } catch (error) {
      const hosts = group.slice(0, 10).map(({ heartbeat }) => heartbeat.hostId);
      this.#given.log.warn("heartbeats.not-stored", {
        ...{ count: group.length, hosts, error: describeError(error) },
      });
      return false;
    }
  }

  async #write(group: readonly Heard[]): Promise<void> {
    const { store, desired, observations, wake } = this.#given;
    const isStored = ({ heartbeat, isRepeat }: Heard): boolean =>
      isRepeat && this.#stored.get(heartbeat.hostId) === wordOf(heartbeat);
    const full = group.flatMap((beat) => (isStored(beat) ? [] : [beat.heartbeat]));
    const repeats = group.flatMap((beat) => (isStored(beat) ? [beat.heartbeat.hostId] : []));
    await Promise.all([full.length === 0 ? null : store(full), this.#touch(repeats)]);
    for (const heartbeat of full) this.#stored.set(heartbeat.hostId, wordOf(heartbeat));
    // Stored: from here on a host's silence counts from later than its beat was sent.
    for (const { heartbeat, settled } of group) {
      const { bootId, monotonicMs, hostId } = heartbeat;
      if (settled && monotonicMs !== undefined) desired.answer(hostId, { bootId, monotonicMs });
    }
    const lists = group.filter(({ heartbeat }) => heartbeat.whole).map((beat) => this.#listOf(beat));
    if (lists.length > 0 && (await observations.takeLists(lists))) wake();
  }

  async #touch(hosts: readonly HostId[]): Promise<void> {
    if (hosts.length === 0 || (await this.#given.touch(hosts)) === hosts.length) return;
    for (const hostId of hosts) this.#stored.delete(hostId);
    throw new Error("the record lost hosts: they are written anew");
  }

  #listOf({ heartbeat, settled, isRepeat }: Heard) {
    const { hostId, jobs, unknown = [] } = heartbeat;
    // A list may come late: what it does not name counts from when it was made, and not at all beside another's.
    const atMs = settled ? Math.min(heartbeat.atMs, Date.now()) : 0;
    if (settled) this.#given.desired.report(hostId, { atMs, jobs: [...jobs, ...unknown] });
    return { hostId, atMs, jobs, unknown, isRepeat: settled && isRepeat };
  }

  /** What still waits is dropped: its hosts speak again. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#writing;
  }
}

function wordOf({ bootId, agentStartedAtMs, revision }: FullBeat): string {
  return `${bootId} ${agentStartedAtMs} ${revision}`;
}

/** Rows are locked in the order of their ids, as all do that touch many hosts. At most one beat per host; it is said again. */
export async function storeBeats(db: Kysely<Tables>, beats: readonly FullBeat[]): Promise<void> {
  const rows = beats.toSorted((a, b) => (a.hostId < b.hostId ? -1 : 1));
  const kept = jsonLines(rows.map(({ jobs: _jobs, ...rest }) => rest));
  await sql`${PREPARED}
    insert into hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat)
    select b->>'hostId', 'alive', now(), b->>'bootId', b
      from (select text::jsonb as b from string_to_table(${kept}, E'\n') as text) as beats, ${UNSYNCED}
    on conflict (host_id) do update set state = 'alive', last_heartbeat_at = now(), boot_id = excluded.boot_id, heartbeat = excluded.heartbeat`.execute(
    db,
  );
}

/** They speak, and say nothing new. Rows are locked in the order of their ids. */
export async function touchHosts(db: Kysely<Tables>, hosts: readonly HostId[]): Promise<number> {
  const { numAffectedRows } = await sql`${PREPARED}
    with open as materialized (
      select host_id from hosts_seen, ${UNSYNCED} where host_id = any(${hosts}) order by host_id for update of hosts_seen
    )
    update hosts_seen s set state = 'alive', last_heartbeat_at = now() from open where s.host_id = open.host_id`.execute(
    db,
  );
  return Number(numAffectedRows ?? 0n);
}
