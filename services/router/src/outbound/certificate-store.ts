/** The pod's own certificate, as stored: what may be told of it. */
import { X509Certificate } from "node:crypto";
import type { CertificateInfo } from "@berth/shared/contracts/certificate.ts";
import type { CertificateId } from "@berth/shared/domain/ids.ts";
import { type Kysely, sql } from "kysely";
import type { ServedCertificate } from "../core/find-expiring.ts";
import type { RouterTables } from "./tables.ts";

/** Of the first certificate in PEM, as CertificateInfo has it. @throws Error when there is none */
export function fingerprintOf(chain: string): string {
  return new X509Certificate(chain).fingerprint256.replaceAll(":", "").toLowerCase();
}

export async function readPodFingerprint(db: Kysely<RouterTables>): Promise<string | null> {
  const { rows } = await sql<{ info: CertificateInfo }>`
    select info from certificates where source = 'pod' and removed_at is null order by id desc limit 1`.execute(
    db,
  );
  return rows[0]?.info.fingerprint ?? null;
}

/** The former one is removed a while later, when no edge's table names it any more. */
export async function replacePodCertificate(
  db: Kysely<RouterTables>,
  id: CertificateId,
  info: CertificateInfo,
): Promise<void> {
  await sql`insert into certificates (id, source, info) values (${id}, 'pod', ${JSON.stringify(info)}::jsonb)`.execute(
    db,
  );
}

/** Certificates that route tables name, with the host names that they are served for. */
export async function readServed(db: Kysely<RouterTables>): Promise<ServedCertificate[]> {
  const { rows } = await sql<{ id: string; hostnames: string[]; info: CertificateInfo }>`
    with served as (
      select site #>> '{tls,certificateId}' as id, array_agg(site ->> 'hostname' order by site ->> 'hostname') as hostnames
        from route_tables t, jsonb_array_elements(t.sites) site where site ? 'tls' group by 1)
    select s.id, s.hostnames[1:10] as hostnames, coalesce(a.info, r.info) as info
      from served s left join api.certificates a on a.id = s.id left join certificates r on r.id = s.id
     where coalesce(a.info, r.info) is not null`.execute(db);
  return rows.map(({ id, hostnames, info }) => ({
    ...{ id, hostnames, notBeforeMs: info.notBeforeMs, notAfterMs: info.notAfterMs },
  }));
}

/** Removes those that a newer one replaced an hour ago. */
export async function removeReplaced(db: Kysely<RouterTables>): Promise<number> {
  const { rows } = await sql`
    update certificates c set removed_at = now()
     where c.source = 'pod' and c.removed_at is null and exists (
       select 1 from certificates n
        where n.source = 'pod' and n.id > c.id and n.created_at < now() - interval '1 hour')
    returning c.id`.execute(db);
  return rows.length;
}
