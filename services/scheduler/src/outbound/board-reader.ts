/**
 * Who may take work, and how each pod places it, read ahead of need while auctions run: an auction that finds it a little
 * old goes on with it. Cordoned, drained and removed hosts are checked again when an award is stored.
 */
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import type { HostPolicy } from "../core/candidates.ts";
import type { Strategy } from "../core/place-pods.ts";
import { readHosts, type StoredHost } from "./auction-view.ts";
import type { Tables } from "./tables.ts";

export interface Board {
  readonly hosts: readonly StoredHost[];
  readonly policies: ReadonlyMap<HostId, HostPolicy>;
  readonly pods: ReadonlyMap<HostId, string>;
  readonly strategies: ReadonlyMap<string, Strategy>;
}

const NO_BOARD: Board = { hosts: [], policies: new Map(), pods: new Map(), strategies: new Map() };

const FRESH_MS = 250;
/** An auction waits rather than go by a board older than this. */
const OLD_MS = 1000;

export class BoardReader {
  readonly #db: Kysely<Tables>;
  #board = NO_BOARD;
  /** Of the record when the board was read, or before: what changed since is found by the next look. */
  #print = "";
  #readAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  async current(): Promise<Board> {
    const ageMs = performance.now() - this.#readAtMs;
    if (ageMs > FRESH_MS) {
      const reading = this.#refresh();
      // Beside an auction that need not wait, the next one finds out.
      if (ageMs > OLD_MS) await reading;
      else reading.catch(() => undefined);
    }
    return this.#board;
  }

  #refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    const startedAtMs = performance.now();
    const print = await readPrint(this.#db);
    if (print !== this.#print) this.#board = await readBoard(this.#db);
    this.#print = print;
    this.#readAtMs = startedAtMs;
  }
}

/** Tells one board from another, so that thousands of hosts that are as they were need not be read. */
async function readPrint(db: Kysely<Tables>): Promise<string> {
  const { rows } = await sql<{ print: string }>`
    select concat_ws(' ', (select count(*) from api.hosts), (select bit_xor(hashtextextended(h::text, 0)) from api.hosts h),
                     (select count(*) from api.pods), (select bit_xor(hashtextextended(p::text, 0)) from api.pods p)) as print`.execute(
    db,
  );
  return rows[0]?.print ?? "";
}

export async function readBoard(db: Kysely<Tables>): Promise<Board> {
  const [hosts, pods] = await Promise.all([
    readHosts(db),
    sql<{ name: string; strategy: Strategy }>`select name, strategy from api.pods`.execute(db),
  ]);
  return {
    hosts,
    policies: new Map(hosts.map(({ id, policy }) => [id, policy])),
    pods: new Map(hosts.map(({ id, pod }) => [id, pod])),
    strategies: new Map(pods.rows.map(({ name, strategy }) => [name, strategy])),
  };
}
