/**
 * The ledger: one file per job that this host accepted. What it names survives `kill -9` and a power cut.
 *
 * A file is written beside the old one, synced, and renamed over it; then the folder is synced. A file that
 * cannot be read is moved aside and told, never taken for an empty ledger.
 */
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { JobSpec } from "@berth/shared/contracts/job.ts";
import { Stage } from "@berth/shared/domain/deploy-state.ts";
import { JobState } from "@berth/shared/domain/job-state.ts";
import { SleepOrder } from "@berth/shared/domain/sleep.ts";
import { z } from "zod";
import type { JobRecord } from "../core/job-record.ts";

const RecordFile = z.object({
  format: z.literal(1),
  spec: JobSpec,
  acceptedAtMs: z.number(),
  bootId: z.string(),
  sequence: z.int(),
  acknowledged: z.int(),
  state: JobState,
  ready: z.boolean(),
  everReady: z.boolean(),
  attempt: z.int(),
  endedAttempt: z.int(),
  firstStartedAtMs: z.number().nullable(),
  startedAtMs: z.number().nullable(),
  address: z.string().nullable(),
  lastAddress: z.string().nullable().default(null),
  restartsCount: z.int(),
  crashesInRow: z.int(),
  notBeforeMs: z.number(),
  exitCode: z.int().nullable(),
  reasonCode: z.string().nullable(),
  reason: z.string().nullable(),
  lastLines: z.array(z.string()),
  stages: z.array(Stage),
  envelope: z.object({ senderKey: z.string(), sealed: z.string() }).nullable(),
  stopWanted: z.boolean(),
  sleep: SleepOrder.nullable().default(null),
  wokenEpoch: z.int().min(0).default(0),
  resume: z.boolean().default(false),
});

/** Ends of the names of files under way. */
const TORN = ".json.new";

const HostRecord = z.object({ leaderEpoch: z.int().min(0) });
type HostRecord = z.infer<typeof HostRecord>;

export interface LoadedLedger {
  readonly records: readonly JobRecord[];
  readonly leaderEpoch: number;
  /** Names of files that could not be read; they were moved aside. */
  readonly damaged: readonly string[];
  /** Names of files that a crash left half written; what they would have replaced is whole. */
  readonly torn: readonly string[];
}

export class Ledger {
  readonly #folder: string;
  /** The last write per file, so that writes of one file never overtake each other. */
  readonly #writing = new Map<string, Promise<void>>();
  /** Per file the record whose write has not begun: a newer one takes its place. */
  readonly #waiting = new Map<string, { record: JobRecord; written: Promise<void> }>();
  #lastSync: Promise<void> = Promise.resolve();
  #nextSync: Promise<void> | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async load(): Promise<LoadedLedger> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const records: JobRecord[] = [];
    const damaged: string[] = [];
    const torn: string[] = [];
    let leaderEpoch = 0;
    for (const name of await readdir(this.#folder)) {
      if (name.endsWith(TORN)) torn.push(name);
      if (!name.endsWith(".json")) continue;
      const value = await this.#read(name);
      const host = name === "host.json" ? HostRecord.safeParse(value) : null;
      const record = host === null ? RecordFile.safeParse(value) : null;
      if (host?.success) leaderEpoch = host.data.leaderEpoch;
      else if (record?.success) records.push(record.data);
      else damaged.push(name);
    }
    for (const name of damaged) await rename(join(this.#folder, name), join(this.#folder, `${name}.damaged`));
    return { records, leaderEpoch, damaged, torn };
  }

  async #read(name: string): Promise<unknown> {
    try {
      return JSON.parse(await readFile(join(this.#folder, name), "utf8")) as unknown;
    } catch {
      return null;
    }
  }

  /** Resolves when the record, or a newer one of the same job, is on disk. */
  save(record: JobRecord): Promise<void> {
    const name = `${record.spec.jobId}.json`;
    const waiting = this.#waiting.get(name);
    if (waiting !== undefined) {
      waiting.record = record;
      return waiting.written;
    }
    const entry = { record, written: Promise.resolve() };
    this.#waiting.set(name, entry);
    entry.written = this.#queue(name, (path) => {
      if (this.#waiting.get(name) === entry) this.#waiting.delete(name);
      return writeSynced(path, JSON.stringify(entry.record));
    });
    return entry.written;
  }

  saveLeaderEpoch(leaderEpoch: number): Promise<void> {
    const value: HostRecord = { leaderEpoch };
    return this.#queue("host.json", (path) => writeSynced(path, JSON.stringify(value)));
  }

  /** Removes what `load` found half written, unless that file is being written now. */
  async removeTorn(name: string): Promise<void> {
    if (!name.endsWith(TORN)) return;
    await this.#queue(name.slice(0, -".new".length), () => rm(join(this.#folder, name), { force: true }));
  }

  forget(jobId: string): Promise<void> {
    const name = `${jobId}.json`;
    // What is saved after this is another file: it must not be taken for what was to be written before.
    this.#waiting.delete(name);
    return this.#queue(name, (path) => rm(path, { force: true }));
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#writing.values());
  }

  #queue(name: string, write: (path: string) => Promise<void>): Promise<void> {
    const before = this.#writing.get(name) ?? Promise.resolve();
    const mine = before
      .catch(() => {})
      .then(async () => {
        await write(join(this.#folder, name));
        await this.#syncFolder();
      });
    this.#writing.set(name, mine);
    void mine
      .catch(() => {})
      .then(() => {
        if (this.#writing.get(name) === mine) this.#writing.delete(name);
      });
    return mine;
  }

  /** Callers at the same time share one sync, which begins after they called. */
  #syncFolder(): Promise<void> {
    if (this.#nextSync === null) {
      const next = this.#lastSync.then(() => {
        this.#nextSync = null;
        return syncFolder(this.#folder);
      });
      this.#nextSync = next;
      this.#lastSync = next.catch(() => {});
    }
    return this.#nextSync;
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
