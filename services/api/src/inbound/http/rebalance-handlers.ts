/** Evening out the pod: the scheduler's plan, the order, and how far it came. */
import { PlanRebalance } from "@berth/shared/contracts/rebalance.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { audited } from "../../outbound/audited.ts";
import { nameMoves, readRebalances, storeRebalance } from "../../outbound/rebalance-store.ts";
import type { Db } from "../../outbound/tables.ts";
import type { Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
}

type RebalanceRoute = "planRebalance" | "startRebalance" | "listRebalances";

export function rebalanceHandlers({ db, bus }: Given): Pick<Handlers, RebalanceRoute> {
  return {
    planRebalance: async ({ query }) => {
      const { moves } = await bus.request(PlanRebalance, { mostMoves: query.limit });
      return { moves: await nameMoves(db, moves) };
    },
    startRebalance: async ({ caller, actor }) => {
      const id = newId("rebalance");
      await audited(db, actor, async (trx) => {
        await storeRebalance(trx, id, caller.userId);
        return { result: null, act: { action: "rebalance.requested", target: id, orgId: null } };
      });
      return { id };
    },
    listRebalances: async () => ({ rebalances: await readRebalances(db) }),
  };
}
