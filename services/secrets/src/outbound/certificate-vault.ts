/** Certificates with their keys: the chain is public, the key is sealed. Clear keys are in return values only. */
import type { CertificateInfo } from "@berth/shared/contracts/certificate.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import type { CheckedCertificate } from "../core/check-certificate.ts";
import type { Vault, VaultTables } from "./vault.ts";

type Good = Extract<CheckedCertificate, { kind: "good" }>;

export interface StoredCertificate {
  readonly certificate: CertificateInfo;
  readonly notes: string[];
}

export class CertificateVault {
  readonly #db: Kysely<VaultTables>;
  readonly #vault: Vault;

  constructor(db: Kysely<VaultTables>, vault: Vault) {
    this.#db = db;
    this.#vault = vault;
  }

  /** @returns what is kept under the id: what was first stored under it stays; null when another owner has the id */
  async store(owner: string, id: string, checked: Good): Promise<StoredCertificate | null> {
    const sealed = await this.#vault.sealFor(owner, Buffer.from(checked.key), context(id));
    const { rows } = await sql<{ owner: string; info: CertificateInfo; notes: string[] }>`
      insert into certificates (id, owner, chain, key_sealed, info, notes)
      values (${id}, ${owner}, ${checked.chain}, ${sealed}, ${JSON.stringify(checked.info)}::jsonb,
              ${JSON.stringify(checked.notes)}::jsonb)
      on conflict (id) do update set id = excluded.id
      returning owner, info, notes`.execute(this.#db);
    const [row] = rows;
    return row === undefined || row.owner !== owner ? null : { certificate: row.info, notes: row.notes };
  }

  /** Drops those that the record calls removed; one that is not found may be a record that is not whole. */
  async forgetRemoved(): Promise<number> {
    const { rows } = await sql`
      delete from certificates c
       where exists (select 1 from api.certificates a where a.id = c.id and a.removed_at is not null)
          or exists (select 1 from router.certificates r where r.id = c.id and r.removed_at is not null)
      returning c.id`.execute(this.#db);
    return rows.length;
  }

  /**
   * @returns certificate, intermediates and key in PEM, of those that are there and that the host may have: the pod's own, and
   *   those of environments that have a job on it
   */
  async openFor(
    hostId: HostId,
    ids: readonly string[],
  ): Promise<{ readonly id: string; readonly pem: string }[]> {
    const { rows } = await sql<{ id: string; owner: string; chain: string; key_sealed: Buffer }>`
      with asked as (
        select id, environment_id from api.certificates where id = any(${[...ids]})
        union all
        select id, environment_id from router.certificates where id = any(${[...ids]}))
      select c.id, c.owner, c.chain, c.key_sealed from certificates c join asked a on a.id = c.id
       where a.environment_id is null and c.owner = 'pod'
          or exists (
            select 1 from scheduler.jobs j
             where j.environment_id = a.environment_id and j.host_id = ${hostId} and j.desired = 'run'
               and j.state not in ('requested', 'finished', 'failed', 'lost'))`.execute(this.#db);
    return Promise.all(
      rows.map(async ({ id, owner, chain, key_sealed }) => {
        const key = await this.#vault.openFor(owner, key_sealed, context(id));
        return { id, pem: `${chain}${key.toString()}` };
      }),
    );
  }

  /** @returns the curve key of a host that belongs to the pod, else null */
  async hostKey(hostId: HostId): Promise<string | null> {
    const { rows } = await sql<{ curve_key: string }>`
      select curve_key from api.hosts where id = ${hostId} and removed_at is null`.execute(this.#db);
    return rows[0]?.curve_key ?? null;
  }
}

function context(id: string): string {
  return `certificate/${id}`;
}
