/**
 * The sealed store. Clear values exist only in the return values of `open` and in the memory of who called it.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { VariableInfo, VarsChange } from "@berth/shared/contracts/secret.ts";
import type { OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import { createCurve, curveFromSeed } from "@berth/shared/kit/curve.ts";
import type { Kysely, Transaction } from "kysely";
import { sql } from "kysely";
import type { Change, VariableSet } from "../core/change-variables.ts";
import { changeVariables } from "../core/change-variables.ts";
import { fingerprint, open, seal } from "../core/envelope-encryption.ts";

export interface VaultTables {
  data_keys: { org_id: string; wrapped: Buffer };
  variable_sets: {
    service_id: string;
    version: number;
    org_id: string;
    sealed: Buffer;
    infos: unknown;
    request_id: string;
    changed_by: string;
  };
  certificates: {
    id: string;
    owner: string;
    chain: string;
    key_sealed: Buffer;
    info: unknown;
    notes: unknown;
  };
  service_keys: { name: string; wrapped: Buffer };
  deliveries: {
    job_id: string;
    epoch: number;
    host_id: string;
    service_id: string;
    version: number;
    outcome: string;
  };
}

export interface VersionInfo {
  readonly version: number;
  readonly variables: readonly VariableInfo[];
}

export type ChangeOutcome =
  | ({ readonly kind: "changed" } & VersionInfo)
  | { readonly kind: "refused"; readonly reason: string };

export type RestoreOutcome =
  | { readonly kind: "restored"; readonly version: number }
  | { readonly kind: "refused"; readonly reason: string };

interface NextVersion {
  readonly orgId: OrgId;
  readonly serviceId: ServiceId;
  readonly version: number;
  readonly set: VariableSet;
  readonly requestId: string;
  readonly changedBy: string;
}

export interface Delivery {
  readonly jobId: string;
  readonly epoch: number;
  readonly hostId: string;
  readonly serviceId: string;
  readonly version: number;
  readonly outcome: string;
}

const EMPTY: VariableSet = { values: {}, infos: [] };

export class Vault {
  readonly #db: Kysely<VaultTables>;
  readonly #masterKey: Buffer;

  constructor(db: Kysely<VaultTables>, masterKeyFile: string) {
    this.#db = db;
    this.#masterKey = Buffer.from(readFileSync(masterKeyFile, "utf8").trim(), "base64");
    if (this.#masterKey.length !== 32) throw new Error(`${masterKeyFile} must hold 32 bytes in base64`);
  }

  /**
   * Drops the variables of services that were removed. Only a service that the record calls removed counts: one that
   * is not found may be a record that is not whole.
   *
   * @returns how many services were forgotten
   */
  async forgetRemoved(): Promise<number> {
    const gone = await sql<{ service_id: string }>`
      delete from variable_sets v using api.services s
      where s.id = v.service_id and s.deleted_at is not null returning v.service_id`.execute(this.#db);
    return new Set(gone.rows.map((row) => row.service_id)).size;
  }

  /** The service's curve key pair, made once and shared by all instances. */
  async curve(): Promise<Curve> {
    const fresh = seal(
      this.#masterKey,
      Buffer.from(createCurve().seed()),
      "service-key/curve",
      randomBytes(12),
    );
    await sql`insert into service_keys (name, wrapped) values ('curve', ${fresh}) on conflict (name) do nothing`.execute(
      this.#db,
    );
    const row = await this.#db
      .selectFrom("service_keys")
      .select("wrapped")
      .where("name", "=", "curve")
      .executeTakeFirstOrThrow();
    return curveFromSeed(open(this.#masterKey, row.wrapped, "service-key/curve").toString());
  }

  /** Stores the next version. The same `requestId` answers the same version again. */
  change(orgId: OrgId, change: VarsChange, changedBy: string, requestId: string): Promise<ChangeOutcome> {
    return this.#db.transaction().execute(async (trx) => {
      await lockVariables(trx, change.serviceId);
      const repeated = await findRepeated(trx, change.serviceId, requestId);
      if (repeated !== undefined)
        return { kind: "changed", version: repeated.version, variables: repeated.infos as VariableInfo[] };
      const key = await this.#dataKey(trx, orgId);
      const last = await this.#read(trx, key, change.serviceId, null);
      const next: Change = changeVariables(last.set, change, {
        nowMs: Date.now(),
        changedBy,
        fingerprintOf: (name, value) => fingerprint(key, name, value),
      });
      if (next.kind === "refused") return next;
      const version = last.version + 1;
      const { serviceId } = change;
      await this.#store(trx, key, { orgId, serviceId, version, set: next.set, requestId, changedBy });
      return { kind: "changed", version, variables: next.set.infos };
    });
  }

  /** Stores an earlier version as the next one; nothing is stored when it is the newest already. */
  restore(
    orgId: OrgId,
    serviceId: ServiceId,
    version: number,
    changedBy: string,
    requestId: string,
  ): Promise<RestoreOutcome> {
    return this.#db.transaction().execute(async (trx) => {
      await lockVariables(trx, serviceId);
      const repeated = await findRepeated(trx, serviceId, requestId);
      if (repeated !== undefined) return { kind: "restored", version: repeated.version };
      const key = await this.#dataKey(trx, orgId);
      const last = await this.#read(trx, key, serviceId, null);
      if (last.version === version) return { kind: "restored", version };
      if (version > last.version)
        return { kind: "refused", reason: `there is no version ${version} of the variables` };
      const set = version === 0 ? EMPTY : (await this.#read(trx, key, serviceId, version)).set;
      await this.#store(trx, key, { orgId, serviceId, version: last.version + 1, set, requestId, changedBy });
      return { kind: "restored", version: last.version + 1 };
    });
  }

  async list(serviceId: ServiceId): Promise<VersionInfo> {
    const row = await this.#db
      .selectFrom("variable_sets")
      .select(["version", "infos"])
      .where("service_id", "=", serviceId)
      .orderBy("version", "desc")
      .limit(1)
      .executeTakeFirst();
    return row === undefined
      ? { version: 0, variables: [] }
      : { version: row.version, variables: row.infos as VariableInfo[] };
  }

  /** The clear values of one version; version 0 has none. */
  async open(orgId: OrgId, serviceId: ServiceId, version: number): Promise<Readonly<Record<string, string>>> {
    if (version === 0) return {};
    return this.#db
      .transaction()
      .execute(
        async (trx) =>
          (await this.#read(trx, await this.#dataKey(trx, orgId), serviceId, version)).set.values,
      );
  }

  /** Seals with the data key of an org, or of the pod. */
  async sealFor(owner: string, clear: Buffer, what: string): Promise<Buffer> {
    const key = await this.#db.transaction().execute((trx) => this.#dataKey(trx, owner));
    return seal(key, clear, what, randomBytes(12));
  }

  /** @throws Error when it was not sealed for this owner and as this */
  async openFor(owner: string, sealed: Buffer, what: string): Promise<Buffer> {
    const key = await this.#db.transaction().execute((trx) => this.#dataKey(trx, owner));
    return open(key, sealed, what);
  }

  async recordDeliveries(deliveries: readonly Delivery[]): Promise<void> {
    const rows = deliveries.map(({ jobId, epoch, hostId, serviceId, version, outcome }) => ({
      ...{ job_id: jobId, epoch, host_id: hostId, service_id: serviceId, version, outcome },
    }));
    await this.#db.insertInto("deliveries").values(rows).execute();
  }

  async #dataKey(trx: Transaction<VaultTables>, orgId: string): Promise<Buffer> {
    const fresh = seal(this.#masterKey, randomBytes(32), `data-key/${orgId}`, randomBytes(12));
    await sql`insert into data_keys (org_id, wrapped) values (${orgId}, ${fresh}) on conflict (org_id) do nothing`.execute(
      trx,
    );
    const row = await trx
      .selectFrom("data_keys")
      .select("wrapped")
      .where("org_id", "=", orgId)
      .executeTakeFirstOrThrow();
    return open(this.#masterKey, row.wrapped, `data-key/${orgId}`);
  }

  async #store(trx: Transaction<VaultTables>, key: Buffer, next: NextVersion): Promise<void> {
    const { serviceId, version, set } = next;
    const clear = Buffer.from(JSON.stringify(set.values));
    await trx
      .insertInto("variable_sets")
      .values({
        service_id: serviceId,
        version,
        org_id: next.orgId,
        sealed: seal(key, clear, context(serviceId, version), randomBytes(12)),
        infos: JSON.stringify(set.infos),
        request_id: next.requestId,
        changed_by: next.changedBy,
      })
      .execute();
  }

  async #read(
    trx: Transaction<VaultTables>,
    key: Buffer,
    serviceId: ServiceId,
    version: number | null,
  ): Promise<{ version: number; set: VariableSet }> {
    let query = trx
      .selectFrom("variable_sets")
      .select(["version", "sealed", "infos"])
      .where("service_id", "=", serviceId)
      .orderBy("version", "desc")
      .limit(1);
    if (version !== null) query = query.where("version", "=", version);
    const row = await query.executeTakeFirst();
    if (row === undefined) {
      if (version !== null) throw new Error(`service ${serviceId} has no variables of version ${version}`);
      return { version: 0, set: EMPTY };
    }
    const values = JSON.parse(open(key, row.sealed, context(serviceId, row.version)).toString()) as Record<
      string,
      string
    >;
    return { version: row.version, set: { values, infos: row.infos as VariableInfo[] } };
  }
}

/** Two changes of one service's variables never overtake each other. */
async function lockVariables(trx: Transaction<VaultTables>, serviceId: ServiceId): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${serviceId}, 0))`.execute(trx);
}

function findRepeated(trx: Transaction<VaultTables>, serviceId: ServiceId, requestId: string) {
  return trx
    .selectFrom("variable_sets")
    .select(["version", "infos"])
    .where("service_id", "=", serviceId)
    .where("request_id", "=", requestId)
    .executeTakeFirst();
}

function context(serviceId: ServiceId, version: number): string {
  return `variables/${serviceId}/${version}`;
}
