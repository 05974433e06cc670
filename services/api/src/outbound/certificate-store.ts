/** Certificates that customers brought, without their keys. */
import type { CertificateInfo } from "@berth/shared/contracts/certificate.ts";
import type { Certificate } from "@berth/shared/contracts/http/certificates.ts";
import { sql } from "kysely";
import type { Db, Trx } from "./tables.ts";

interface CertificateRow {
  readonly id: Certificate["id"];
  readonly service: Certificate["service"];
  readonly info: CertificateInfo;
  readonly serves: string[];
  readonly created_at: Date;
}

const CERTIFICATE = sql`
  select c.id, s.name as service, c.info, c.created_at,
         array(select site ->> 'hostname' from router.route_tables t, jsonb_array_elements(t.sites) site
                where t.environment_id = c.environment_id and site #>> '{tls,certificateId}' = c.id order by 1) as serves
    from api.certificates c left join api.services s on s.id = c.service_id
   where c.removed_at is null`;

export async function readCertificates(db: Db, environmentId: string): Promise<Certificate[]> {
  const { rows } = await sql<CertificateRow>`
    ${CERTIFICATE} and c.environment_id = ${environmentId} order by c.id limit 1000`.execute(db);
  return rows.map(toCertificate);
}

export async function readCertificate(
  db: Db,
  environmentId: string,
  id: string,
): Promise<Certificate | undefined> {
  const { rows } = await sql<CertificateRow>`
    ${CERTIFICATE} and c.environment_id = ${environmentId} and c.id = ${id}`.execute(db);
  return rows[0] === undefined ? undefined : toCertificate(rows[0]);
}

function toCertificate({ id, service, info, serves, created_at }: CertificateRow): Certificate {
  return { id, service, serves, ...info, createdAt: created_at.toISOString() };
}

export interface NewCertificate {
  readonly id: string;
  readonly orgId: string;
  readonly environmentId: string;
  readonly serviceId: string | null;
  readonly info: CertificateInfo;
}

export async function addCertificateRow(trx: Trx, { id, info, ...its }: NewCertificate): Promise<void> {
  await sql`
    insert into api.certificates (id, org_id, environment_id, service_id, info)
    values (${id}, ${its.orgId}, ${its.environmentId}, ${its.serviceId}, ${JSON.stringify(info)}::jsonb)`.execute(
    trx,
  );
}

export async function countCertificates(db: Db, environmentId: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from api.certificates
     where environment_id = ${environmentId} and removed_at is null`.execute(db);
  return rows[0]?.count ?? 0;
}

/** @returns false when the environment has no such certificate */
export async function removeCertificateRow(trx: Trx, environmentId: string, id: string): Promise<boolean> {
  const { rows } = await sql`
    update api.certificates set removed_at = now()
     where environment_id = ${environmentId} and id = ${id} and removed_at is null returning id`.execute(trx);
  return rows.length > 0;
}

/** Of a service that is removed. */
export async function removeCertificatesOf(trx: Trx, serviceId: string): Promise<void> {
  await sql`
    update api.certificates set removed_at = now() where service_id = ${serviceId} and removed_at is null`.execute(
    trx,
  );
}
