/** A service's options of HTTP as stored, and whether every live edge serves them: the router's tables say so. */
import { isDeepStrictEqual } from "node:util";
import type { RouteSite } from "@berth/shared/contracts/route.ts";
import { HttpOptions } from "@berth/shared/domain/http-options.ts";
import { sql } from "kysely";
import type { Db, Trx } from "./tables.ts";

export async function writeHttp(trx: Trx, serviceId: string, http: HttpOptions): Promise<void> {
  await trx
    .updateTable("services")
    .set({ http: JSON.stringify(http) })
    .where("id", "=", serviceId)
    .execute();
}

/** @returns undefined when the service was removed */
export async function readHttp(
  db: Db,
  serviceId: string,
): Promise<{ http: HttpOptions; acknowledged: boolean } | undefined> {
  const { rows } = await sql<{ http: unknown; sites: RouteSite[] | null }>`
    select s.http, t.sites from api.services s
      left join router.route_tables t
        on t.environment_id = s.environment_id and t.acknowledged_version = t.version
     where s.id = ${serviceId} and s.deleted_at is null`.execute(db);
  const row = rows[0];
  if (row === undefined) return undefined;
  const http = HttpOptions.parse(row.http);
  const own = (row.sites ?? []).filter((site) => site.serviceId === serviceId);
  return { http, acknowledged: own.length > 0 && own.every((site) => isTold(site, http)) };
}

/** Redirects from host names are told to the site of that name alone. */
function isTold({ hostname, http: told = {} }: RouteSite, { redirects = [], ...rest }: HttpOptions): boolean {
  const { redirects: own = [], ...others } = told;
  const meant = redirects.filter(({ from }) => from.startsWith("/") || from === hostname);
  return isDeepStrictEqual([others, own], [rest, meant]);
}
