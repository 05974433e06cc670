/** Maintenance: every edge answers for the service itself until somebody ends it; its instances keep running. */
import { ServiceChanged } from "@berth/shared/contracts/release.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { sql } from "kysely";
import { audited } from "../../outbound/audited.ts";
import { lockService } from "../../outbound/release-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly outbox: Pick<OutboxRelay, "wake">;
}

export function maintenanceHandlers(given: Given): Pick<Handlers, "showMaintenance" | "changeMaintenance"> {
  return {
    showMaintenance: ({ object }) => read(given.db, object.serviceId),
    changeMaintenance: (asked) => change(given, asked),
  };
}

/** Acknowledged is the route table that says the same, when every live edge serves it. */
async function read(db: Db, serviceId: string) {
  const found = await sql<{ on: boolean; sinceMs: number | null; acknowledged: boolean }>`
    select s.maintenance_since is not null as on, (extract(epoch from s.maintenance_since) * 1000)::float8 as "sinceMs",
           exists (
             select 1 from router.route_tables t, jsonb_array_elements(t.sites) site
              where t.environment_id = s.environment_id and t.acknowledged_version = t.version
                and site ->> 'serviceId' = s.id
                and coalesce((site ->> 'maintenance')::boolean, false) = (s.maintenance_since is not null)) as acknowledged
      from api.services s where s.id = ${serviceId}`.execute(db);
  const row = found.rows[0];
  if (row === undefined) throw notFound(`service ${serviceId}`);
  return row;
}

async function change({ db, outbox }: Given, { object, body, actor }: Asked<"changeMaintenance">) {
  await audited(db, actor, async (trx) => {
    const service = await lockService(trx, object.serviceId);
    if (service === undefined) throw notFound(`service ${object.service}`);
    await sql`
      update api.services set maintenance_since = case when ${body.on} then coalesce(maintenance_since, now()) end
       where id = ${service.id}`.execute(trx);
    await addToOutbox(trx, ServiceChanged, { serviceId: service.id, revision: newId("decision") });
    const action = body.on ? "maintenance.begun" : "maintenance.ended";
    return { result: null, act: { action, target: service.id, orgId: object.orgId } };
  });
  outbox.wake();
  return read(db, object.serviceId);
}
