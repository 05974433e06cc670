/** Options of HTTP: shown and replaced. The router makes them part of the route tables. */
import { audited } from "../../outbound/audited.ts";
import { readHttp, writeHttp } from "../../outbound/http-store.ts";
import { lockService } from "../../outbound/release-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
}

export function httpOptionHandlers({ db }: Given): Pick<Handlers, "showServiceHttp" | "changeServiceHttp"> {
  return {
    showServiceHttp: ({ object }) => show(db, object),
    changeServiceHttp: async ({ object, body, actor }) => {
      await audited(db, actor, async (trx) => {
        const service = await lockService(trx, object.serviceId);
        if (service === undefined) throw notFound(`service ${object.service}`);
        await writeHttp(trx, service.id, body.http);
        const details = { options: Object.keys(body.http).join(", ") || "none" };
        const act = { action: "service.http-changed", target: service.id, orgId: object.orgId, details };
        return { result: null, act };
      });
      return show(db, object);
    },
  };
}

async function show(db: Db, { serviceId, service }: Asked<"showServiceHttp">["object"]) {
  const found = await readHttp(db, serviceId);
  if (found === undefined) throw notFound(`service ${service}`);
  return found;
}
