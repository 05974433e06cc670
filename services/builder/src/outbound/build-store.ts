/**
 * One running build in PostgreSQL: its lease, its log, its end.
 *
 * Every write names the attempt that was claimed. A builder that lost its lease finds no row and learns so; it can
 * then no longer change anything about the build.
 */
import {
  type BuildKind,
  BuildSucceeded,
  type ImageProfile,
  type ProcessTable,
} from "@berth/shared/contracts/build.ts";
import type { AppConfig } from "@berth/shared/domain/app-config.ts";
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { sql } from "kysely";
import type { BuildFailure } from "../core/build-failure.ts";
import { type ClaimedBuild, endBuild, eventKey } from "./queue-store.ts";
import type { Db } from "./tables.ts";

export type Renewal =
  | {
      readonly kind: "held";
      readonly stop: "cancelled" | "superseded" | null;
      readonly supersededBy: string | null;
    }
  | { readonly kind: "lost" };

/** Extends the lease, adds to the log, and brings back whether somebody wants the build stopped. */
export async function renewBuild(
  db: Db,
  build: ClaimedBuild,
  leaseMs: number,
  moreLog: string,
): Promise<Renewal> {
  const row = await db
    .updateTable("builds")
    .set({
      lease_until: sql<Date>`now() + ${leaseMs} * interval '1 millisecond'`,
      // Unchanged text must not be written again: that would copy the whole log every second.
      ...(moreLog === "" ? {} : { log: sql<string>`log || ${moreLog}` }),
    })
    .where("id", "=", build.id)
    .where("attempt", "=", build.attempt)
    .where("state", "=", "running")
    .returning(["stop_code", "superseded_by"])
    .executeTakeFirst();
  return row === undefined
    ? { kind: "lost" }
    : { kind: "held", stop: row.stop_code, supersededBy: row.superseded_by };
}

export interface Success {
  readonly kind: BuildKind;
  readonly imageRepository: string;
  readonly imageDigest: string;
  readonly imageBytes: number;
  readonly processes: ProcessTable;
  readonly profile: ImageProfile;
  readonly config?: AppConfig;
}

export type Ending =
  | { readonly outcome: "succeeded"; readonly success: Success }
  | { readonly outcome: "failed"; readonly failure: BuildFailure };

/** @returns false when the build was no longer this builder's: nothing was written */
export async function finishBuild(
  db: Db,
  build: ClaimedBuild,
  ending: Ending,
  stages: readonly Stage[],
  moreLog: string,
): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    const row = await trx
      .updateTable("builds")
      .set({ stages: JSON.stringify(stages), log: sql<string>`log || ${moreLog}` })
      .where("id", "=", build.id)
      .where("attempt", "=", build.attempt)
      .where("state", "=", "running")
      .returningAll()
      .executeTakeFirst();
    if (row === undefined) return false;
    if (ending.outcome === "failed") {
      await endBuild(trx, row, ending.failure);
      return true;
    }
    const { kind, imageRepository, imageDigest, imageBytes, processes, profile, config } = ending.success;
    await trx
      .updateTable("builds")
      .set({
        state: "succeeded",
        kind,
        image_repository: imageRepository,
        image_digest: imageDigest,
        image_bytes: imageBytes,
        processes: JSON.stringify(processes),
        profile: JSON.stringify(profile),
        app_config: config === undefined ? null : JSON.stringify(config),
        lease_owner: null,
        lease_until: null,
        finished_at: sql<Date>`clock_timestamp()`,
      })
      .where("id", "=", build.id)
      .execute();
    await addToOutbox(trx, BuildSucceeded, { ...eventKey(row), ...ending.success }, row.traceparent);
    return true;
  });
}
