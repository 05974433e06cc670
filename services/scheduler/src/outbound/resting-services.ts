/**
 * Services at rest (core/at-rest.ts), which rounds leave out: what sleeps or serves still costs a round nothing, however much it is.
 *
 * What must stay true: a service whose jobs, sleep, tasks or deploys changed is read by the next round; after an act of
 * anybody, a new release, another state of a host, an event or an error everything is read; and so it is every
 * `WHOLE_EVERY_MS`, whatever was missed.
 */
import type { ServiceId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { type Kysely, sql } from "kysely";
import { isAtRest } from "../core/at-rest.ts";
import type { Snapshot, SnapshotPart } from "./snapshot.ts";
import type { StoredJob } from "./stored-jobs.ts";
import type { Tables } from "./tables.ts";

export const WHOLE_EVERY_MS = 20_000;
/** A change that takes longer from its statement to its commit is seen by the next whole reading. */
const MOST_COMMIT_MS = 5000;

interface Mark {
  /** By the record's clock. */
  readonly atMs: number;
  /** Changes with acts, releases and states of hosts: they may concern any service. */
  readonly whole: string;
}

export class RestingServices {
  readonly #db: Kysely<Tables>;
  readonly #resting = new Map<ServiceId, StoredJob[]>();
  readonly #others = new Set<ServiceId>();
  #mark: Mark | null = null;
  #wholeAtMs = Number.NEGATIVE_INFINITY;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  /** The next round reads everything. */
  readonly readAll = (): void => {
    this.#mark = null;
  };

  /** To be asked before the record is read. @returns null: everything is to be read */
  async part(): Promise<SnapshotPart | null> {
    const nowMs = performance.now();
    const before = this.#mark;
    const { mark, changed } = await readMark(this.#db, before?.atMs ?? null);
    // An event that came meanwhile asked for everything.
    const isKept = before !== null && this.#mark === before;
    this.#mark = mark;
    if (!isKept || before.whole !== mark.whole || nowMs - this.#wholeAtMs >= WHOLE_EVERY_MS) {
      this.#wholeAtMs = nowMs;
      this.#resting.clear();
      this.#others.clear();
      return null;
    }
    for (const serviceId of changed) {
      this.#resting.delete(serviceId);
      this.#others.add(serviceId);
    }
    return { services: [...this.#others], resting: [...this.#resting.values()].flat() };
  }

  /** @param isPlanned whether something is to be done for the service */
  note({ services, jobs }: Snapshot, isPlanned: (serviceId: ServiceId) => boolean): void {
    const atRest = new Set(
      services.filter((view) => isAtRest(view) && !isPlanned(view.serviceId)).map((view) => view.serviceId),
    );
    for (const { serviceId } of services) if (!atRest.has(serviceId)) this.#others.add(serviceId);
    for (const serviceId of atRest) {
      this.#others.delete(serviceId);
      this.#resting.set(serviceId, []);
    }
    // Also of services that are gone: a set that does not name their jobs would end them.
    for (const job of jobs) {
      const resting = this.#resting.get(job.serviceId);
      if (resting === undefined) this.#others.add(job.serviceId);
      else if (atRest.has(job.serviceId) && !isFinal(job.view.state)) resting.push(job);
    }
  }
}

async function readMark(
  db: Kysely<Tables>,
  beforeMs: number | null,
): Promise<{ mark: Mark; changed: ServiceId[] }> {
  const since = new Date((beforeMs ?? Date.now()) - MOST_COMMIT_MS);
  const { rows } = await sql<Mark & { changed: ServiceId[] }>`
    select (extract(epoch from clock_timestamp()) * 1000)::float8 as "atMs",
           concat_ws(' ', (select max(id) from api.audit), (select max(id) from api.releases),
             (select string_agg(h.id || coalesce(s.state, '-'), ',' order by h.id)
                from api.hosts h left join hosts_seen s on s.host_id = h.id where h.removed_at is null)) as whole,
           array(select service_id from jobs where told_at > ${since}
                 union select service_id from jobs where pending
                 union select service_id from sleeps where state_since > ${since}
                 union select service_id from tasks where finished_at is null
                 union select service_id from deploys where finished_at is null) as changed`.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error("the record told no time");
  const { changed, ...mark } = row;
  return { mark, changed };
}
