/** Allow-lists at the edges: shown and set. The router makes them part of the route tables. */
import { readAllow, writeAllow } from "../../outbound/allow-store.ts";
import { type Actor, audited } from "../../outbound/audited.ts";
import type { Db } from "../../outbound/tables.ts";
import type { Handlers } from "./handler.ts";

type AllowRoutes = "showAllow" | "changeEnvironmentAllow" | "changeServiceAllow";

export function allowHandlers({ db }: { readonly db: Db }): Pick<Handlers, AllowRoutes> {
  const change = (target: string, orgId: string, sources: readonly string[] | null, actor: Actor) =>
    audited(db, actor, async (trx) => {
      await writeAllow(trx, target, sources);
      const details = { sources: sources === null ? "everybody" : sources.join(" ") };
      const result = { sources: sources === null ? null : [...sources] };
      return { result, act: { action: "allow.changed", target, orgId, details } };
    });
  return {
    showAllow: ({ object }) => readAllow(db, object.environmentId),
    changeEnvironmentAllow: ({ object, body, actor }) =>
      change(object.environmentId, object.orgId, body.sources, actor),
    changeServiceAllow: ({ object, body, actor }) =>
      change(object.serviceId, object.orgId, body.sources, actor),
  };
}
