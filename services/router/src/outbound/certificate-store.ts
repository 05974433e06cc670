/** The pod's own certificate, as stored: what may be told of it. */
import { X509Certificate } from "node:crypto";
import type { CertificateInfo } from "@berth/shared/contracts/certificate.ts";
import type { CertificateId } from "@berth/shared/domain/ids.ts";
import { type Kysely, sql } from "kysely";
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
