/** Egress policies and gateways: shown and set. The hosts follow what is stored. */
import { formatEgressRule } from "@berth/shared/domain/egress-policy.ts";
import { audited } from "../../outbound/audited.ts";
import { readEgress, writeEgress, writeGateway } from "../../outbound/egress-store.ts";
import type { Db } from "../../outbound/tables.ts";
import type { Handlers } from "./handler.ts";

type EgressRoutes = "showEgress" | "changeEgress" | "changeEgressGateway";

export function egressHandlers({ db }: { readonly db: Db }): Pick<Handlers, EgressRoutes> {
  return {
    showEgress: ({ object }) => readEgress(db, object.environmentId),
    changeEgress: async ({ object, body, actor }) =>
      audited(db, actor, async (trx) => {
        await writeEgress(trx, object.environmentId, body);
        const details = { mode: body.mode, rules: body.rules.map(formatEgressRule).join(" ") || null };
        const { environmentId: target, orgId } = object;
        return { result: { policy: body }, act: { action: "egress.changed", target, orgId, details } };
      }),
    changeEgressGateway: async ({ body, actor }) =>
      audited(db, actor, async (trx) => {
        const { environmentId: target, orgId, gateway } = await writeGateway(trx, body);
        const details = gateway ?? { host: "each its own" };
        return { result: { gateway }, act: { action: "egress.gateway-changed", target, orgId, details } };
      }),
  };
}
