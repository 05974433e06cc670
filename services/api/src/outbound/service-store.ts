/** Orgs, environments and services, as the customer sees them. */
import { sql } from "kysely";
import type { ProcessSetting } from "../core/plan-processes.ts";
import { byProcess, defaultSetting } from "../core/plan-processes.ts";
import type { Reply } from "../inbound/http/routes.ts";
import { writeSettings } from "./release-store.ts";
import type { Db, Trx } from "./tables.ts";

export type Service = Reply<"showService">;

/** Where the pod's addresses come from. */
export interface Addresses {
  readonly podDomain: string;
  readonly edgePort: number;
  readonly gitPublicUrl: string;
}

export function serviceUrl(addresses: Addresses, hostnameLabel: string): string {
  const port = addresses.edgePort === 80 ? "" : `:${addresses.edgePort}`;
  return `http://${hostnameLabel}.${addresses.podDomain}${port}`;
}

interface ServiceRow {
  readonly id: Service["id"];
  readonly org: string;
  readonly environment: string;
  readonly name: string;
  readonly kind: "code";
  readonly hostnameLabel: string;
  readonly deployBranch: string;
  readonly currentRelease: number | null;
  readonly processes: ProcessSetting[];
  readonly maintenanceSince: Date | null;
  readonly createdAt: Date;
}

const SERVICE = sql`
  select s.id, o.name as org, e.name as environment, s.name, s.kind, s.hostname_label as "hostnameLabel",
         s.deploy_branch as "deployBranch", r.version as "currentRelease", s.maintenance_since as "maintenanceSince", s.created_at as "createdAt",
         coalesce((select jsonb_agg(jsonb_build_object('process', p.process, 'scale', p.scale,
             'memoryBytes', p.memory_bytes, 'cpuMillis', p.cpu_millis, 'diskBytes', p.disk_bytes, 'healthPath', p.health_path, 'startDeadlineMs', p.start_deadline_ms, 'stopGraceMs', p.stop_grace_ms,
             'canary', p.canary, 'batch', p.batch, 'minReadyMs', p.min_ready_ms, 'autoscale', p.autoscale))
           from api.processes p where p.service_id = s.id), '[]') as processes
  from api.services s
    join api.environments e on e.id = s.environment_id
    join api.orgs o on o.id = s.org_id
    left join api.releases r on r.id = s.current_release_id`;

function toService(row: ServiceRow, addresses: Addresses): Service {
  const { hostnameLabel, maintenanceSince, createdAt, processes, ...rest } = row;
  return {
    ...rest,
    url: serviceUrl(addresses, hostnameLabel),
    gitUrl: `${addresses.gitPublicUrl.replace(/\/$/, "")}/${row.org}/${row.environment}/${row.name}.git`,
    processes: processes.toSorted(byProcess),
    maintenanceSince: maintenanceSince?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
  };
}

export async function readServices(db: Db, environmentId: string, addresses: Addresses): Promise<Service[]> {
  const found = await sql<ServiceRow>`
    ${SERVICE} where s.environment_id = ${environmentId} and s.deleted_at is null order by s.name limit 1000
  `.execute(db);
  return found.rows.map((row) => toService(row, addresses));
}

export async function readService(
  db: Db,
  serviceId: string,
  addresses: Addresses,
): Promise<Service | undefined> {
  const found = await sql<ServiceRow>`${SERVICE} where s.id = ${serviceId} and s.deleted_at is null`.execute(
    db,
  );
  return found.rows[0] === undefined ? undefined : toService(found.rows[0], addresses);
}

export interface NewService {
  readonly id: string;
  readonly orgId: string;
  readonly environmentId: string;
  readonly name: string;
  readonly hostnameLabel: string;
  readonly deployBranch: string;
  readonly healthPath: string | null;
}

/** `web` can be scaled and sized before the first push. */
export async function addService(trx: Trx, service: NewService): Promise<void> {
  await trx
    .insertInto("services")
    .values({
      id: service.id,
      org_id: service.orgId,
      environment_id: service.environmentId,
      name: service.name,
      hostname_label: service.hostnameLabel,
      deploy_branch: service.deployBranch,
      health_path: service.healthPath,
    })
    .execute();
  await writeSettings(trx, service.id, [defaultSetting("web", service.healthPath)]);
}

export type Environment = Reply<"createEnvironment">;

export async function readEnvironments(db: Db, userId: string): Promise<Environment[]> {
  const found = await sql<Omit<Environment, "createdAt"> & { createdAt: Date }>`
    select e.id, o.name as org, e.name, e.pod, e.created_at as "createdAt",
           (select count(*)::int from api.services s where s.environment_id = e.id and s.deleted_at is null) as "servicesCount"
    from api.environments e
      join api.orgs o on o.id = e.org_id
      join api.members m on m.org_id = o.id and m.user_id = ${userId}
    where e.deleted_at is null order by o.name, e.name limit 1000
  `.execute(db);
  return found.rows.map((row) => ({ ...row, createdAt: row.createdAt.toISOString() }));
}

export type Org = Reply<"createOrg">;

export async function readOrgs(db: Db, userId: string): Promise<Org[]> {
  const found = await sql<Omit<Org, "createdAt"> & { createdAt: Date }>`
    select o.id, o.name, m.role, o.created_at as "createdAt"
    from api.orgs o join api.members m on m.org_id = o.id and m.user_id = ${userId} order by o.name limit 1000
  `.execute(db);
  return found.rows.map((row) => ({ ...row, createdAt: row.createdAt.toISOString() }));
}
