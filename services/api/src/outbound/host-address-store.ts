/** A host's address in the record: follows what the host itself tells, which only the holder of its key can. */
import { sql } from "kysely";
import { audited } from "./audited.ts";
import type { Db } from "./tables.ts";

export type Move = "same" | "moved" | "taken";

/**
 * @returns `taken` when another host of the record is at that address: then nothing is changed, because routes to two
 *   hosts at one address would reach the wrong one
 */
export async function moveHost(db: Db, hostId: string, nodeAddress: string): Promise<Move> {
  const stored = await sql<{ id: string; address: string }>`
    select id, node_address as address from api.hosts
     where removed_at is null and (id = ${hostId} or node_address = ${nodeAddress})`.execute(db);
  const own = stored.rows.find(({ id }) => id === hostId);
  if (own === undefined || own.address === nodeAddress) return "same";
  if (stored.rows.length > 1) return "taken";
  const who = { actor: hostId, tokenId: null, requestId: "bus", remoteAddress: nodeAddress };
  await audited(db, who, async (trx) => {
    await trx
      .updateTable("hosts")
      .set({ node_address: nodeAddress, address_changes: sql`address_changes + 1` })
      .where("id", "=", hostId)
      .execute();
    const details = { from: own.address, to: nodeAddress };
    return { result: null, act: { action: "host.moved", target: hostId, orgId: null, details } };
  });
  return "moved";
}
