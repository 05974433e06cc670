/**
 * What hosts' whole lists say of the stored jobs: each list is judged by itself, many in one go.
 *
 * What must stay true: a list changes only jobs that the record has on its own host, so no two lists of different hosts
 * change the same job. Pure.
 */
import type { ObservedJob } from "@berth/shared/contracts/job.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import { judgeObservation, type StoredObservation, type Verdict } from "./apply-observation.ts";
import { type AbsenceVerdict, type HeldRow, judgeAbsence } from "./judge-absence.ts";

/** A heartbeat's whole list. */
export interface HostList {
  readonly hostId: HostId;
  /** When it was made: what it does not name is judged by this. */
  readonly atMs: number;
  readonly jobs: readonly ObservedJob[];
  /** Jobs whose containers are there although the host's ledger does not know them. */
  readonly unknown: readonly { readonly jobId: string }[];
  /** It says what the host's last list said. */
  readonly isRepeat?: boolean;
}

export interface ListedJob extends StoredObservation, HeldRow {
  readonly id: string;
}

export interface ListVerdicts {
  readonly taken: readonly ObservedJob[];
  readonly absent: readonly { readonly jobId: string; readonly to: Exclude<AbsenceVerdict, "wait"> }[];
  /** What a host must not have said. */
  readonly odd: readonly {
    readonly hostId: HostId;
    readonly from: ListedJob;
    readonly observed: ObservedJob;
    readonly kind: Extract<Verdict["kind"], "foreign" | "illegal">;
  }[];
}

/** @param stored of the jobs that the lists name or that the record has on their hosts; what is not there is not judged */
export function judgeLists(lists: readonly HostList[], stored: readonly ListedJob[]): ListVerdicts {
  const byId = new Map(stored.map((row) => [row.id, row]));
  const byHost = Map.groupBy(stored, (row) => row.hostId);
  const taken: ListVerdicts["taken"][number][] = [];
  const absent: ListVerdicts["absent"][number][] = [];
  const odd: ListVerdicts["odd"][number][] = [];
  for (const { hostId, atMs, jobs, unknown } of lists) {
    for (const observed of jobs) {
      const from = byId.get(observed.jobId);
      if (from === undefined || isFinal(from.state)) continue;
      const { kind } = judgeObservation(from, hostId, observed, true);
      if (kind === "take") taken.push(observed);
      else if (kind !== "late") odd.push({ hostId, from, observed, kind });
    }
    const held = new Set<string>(jobs.map(({ jobId }) => jobId));
    const here = new Set(unknown.map(({ jobId }) => jobId));
    for (const row of byHost.get(hostId) ?? []) {
      if (held.has(row.id) || isFinal(row.state) || row.state === "requested") continue;
      const to = judgeAbsence(row, atMs, here.has(row.id));
      if (to !== "wait") absent.push({ jobId: row.id, to });
    }
  }
  return { taken, absent, odd };
}
