/**
 * A privileged act and its audit row, in one transaction: neither exists without the other.
 * Details name what changed and never hold a value of a variable, a token or a key.
 */
import type { Db, Trx } from "./tables.ts";

export interface Actor {
  /** The user's id, or what else proved the right to act. */
  readonly actor: string;
  readonly tokenId: string | null;
  readonly requestId: string;
  readonly remoteAddress: string;
}

export interface Act {
  readonly action: string;
  readonly target: string;
  readonly orgId: string | null;
  readonly details?: object;
}

export async function audited<T>(
  db: Db,
  who: Actor,
  work: (trx: Trx) => Promise<{ result: T; act: Act }>,
): Promise<T> {
  return db.transaction().execute(async (trx) => {
    const { result, act } = await work(trx);
    await trx
      .insertInto("audit")
      .values({
        org_id: act.orgId,
        actor: who.actor,
        token_id: who.tokenId,
        action: act.action,
        target: act.target,
        request_id: who.requestId,
        remote_address: who.remoteAddress,
        details: JSON.stringify(act.details ?? {}),
      })
      .execute();
    return result;
  });
}
