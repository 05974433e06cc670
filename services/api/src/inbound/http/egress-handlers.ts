/** Egress policies and gateways: shown and set. The hosts follow what is stored. */
import { formatEgressRule } from "@berth/shared/domain/egress-policy.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { audited } from "../../outbound/audited.ts";
import { readEgress, writeEgress, writeGateway } from "../../outbound/egress-store.ts";
import { untilHeld } from "../../outbound/network-held.ts";
import type { Db } from "../../outbound/tables.ts";
import type { Handlers } from "./handler.ts";

type EgressRoutes = "showEgress" | "changeEgress" | "changeEgressGateway";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
}

export function egressHandlers({ db, bus }: Given): Pick<Handlers, EgressRoutes> {
  return {
    showEgress: ({ object }) => readEgress(db, object.environmentId),
    changeEgress: async ({ object, body, actor }) => {
      await audited(db, actor, async (trx) => {
        await writeEgress(trx, object.environmentId, body);
        const details = { mode: body.mode, rules: body.rules.map(formatEgressRule).join(" ") || null };
        const { environmentId: target, orgId } = object;
        return { result: null, act: { action: "egress.changed", target, orgId, details } };
      });
      return { policy: body, isHeld: await untilHeld(bus, object.environmentId) };
    },
    changeEgressGateway: async ({ body, actor }) => {
      const set = await audited(db, actor, async (trx) => {
        const { environmentId: target, orgId, gateway } = await writeGateway(trx, body);
        const details = gateway ?? { host: "each its own" };
        const act = { action: "egress.gateway-changed", target, orgId, details };
        return { result: { gateway, target }, act };
      });
      return { gateway: set.gateway, isHeld: await untilHeld(bus, set.target) };
    },
  };
}
