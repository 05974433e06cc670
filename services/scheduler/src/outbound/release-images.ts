/**
 * The images of the releases that services may be rolled back to. They change slowly and are read now and then.
 *
 * What must stay true: an answer is whole or null. Hosts that are told nothing remove no image.
 */
import type { ServiceId } from "@berth/shared/domain/ids.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { type Kysely, sql } from "kysely";
import { type ReleaseImage, ROLLBACK_RELEASES } from "../core/rollback-targets.ts";
import type { Tables } from "./tables.ts";

const READ_EVERY_MS = 30_000;

export class ReleaseImages {
  readonly #db: Kysely<Tables>;
  readonly #log: Log;
  #read: { readonly atMs: number; readonly releases: readonly ReleaseImage[] | null } | null = null;

  constructor(given: { db: Kysely<Tables>; log: Log }) {
    this.#db = given.db;
    this.#log = given.log;
  }

  /** @returns null when they could not be read; an older answer is never given instead */
  async recent(nowMs: number): Promise<readonly ReleaseImage[] | null> {
    if (this.#read === null || nowMs - this.#read.atMs >= READ_EVERY_MS)
      this.#read = { atMs: nowMs, releases: await this.#ask() };
    return this.#read.releases;
  }

  async #ask(): Promise<readonly ReleaseImage[] | null> {
    try {
      return await readReleaseImages(this.#db);
    } catch (error) {
      this.#log.warn("release-images.not-read", {
        error: describeError(error),
        next: "hosts remove no image until they were",
      });
      return null;
    }
  }
}

/** Of every service that has a job somewhere: the newest releases, and the current one. */
export async function readReleaseImages(db: Kysely<Tables>): Promise<ReleaseImage[]> {
  const { rows } = await sql<{ service_id: ServiceId; version: number; digest: string; current: boolean }>`
    select s.id as service_id, r.version, r.image_digest as digest, r.id is not distinct from s.current_release_id as current
      from api.services s
      cross join lateral (
        (select id, version, image_digest from api.releases
          where service_id = s.id and removed_at is null order by version desc limit ${sql.lit(ROLLBACK_RELEASES)})
        union
        (select id, version, image_digest from api.releases where id = s.current_release_id)
      ) r
     where s.id in (select service_id from jobs where open)`.execute(db);
  return rows.map(({ service_id: serviceId, version, digest, current }) => ({
    serviceId,
    version,
    digest,
    isCurrent: current,
  }));
}
