/** Jobs as the planner puts them into the record, and the record's state around a trial. */

import { JobSpec } from "@berth/shared/contracts/job.ts";
import type {
  DeployId,
  EnvironmentId,
  HostId,
  JobId,
  OrgId,
  ReleaseId,
  ServiceId,
} from "@berth/shared/domain/ids.ts";
import { MIB } from "@berth/shared/domain/resources.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import pg from "pg";

/** Instances of one service: as most apps have it, a few. */
const slotsPerService = 3;

export interface NewJob {
  readonly id: JobId;
  readonly spec: JobSpec;
}

/** @param memoryMib of each job */
export function makeJobs(memoryMib: readonly number[]): NewJob[] {
  const orgId = newId("org") as OrgId;
  const environmentId = newId("environment") as EnvironmentId;
  let service = newService();
  return memoryMib.map((mib, n) => {
    const slot = 1 + (n % slotsPerService);
    if (slot === 1) service = newService();
    const id = newId("job");
    const spec = JobSpec.parse({
      ...{ jobId: id, epoch: 1, orgId, environmentId, ...service.ids, serviceName: "app" },
      ...{ environmentName: "production", releaseVersion: 1, commit: "c".repeat(40), process: "web", slot },
      command: "node server.js",
      image: { repository: `bench/${service.ids.serviceId}`, digest: service.digest, bytes: 60 * MIB },
      profile: { port: 8080, rootFilesystem: "read-only", runsAsRoot: false },
      resources: { memoryBytes: mib * MIB, cpuMillis: 100, diskBytes: 64 * MIB, pidsCount: 128 },
      readiness: { httpPath: null, deadlineMs: 60_000, aliveMs: 2000 },
      ...{ stopGraceMs: 10_000, configVersion: 1 },
      task: null,
      traceparent: null,
    });
    return { id, spec };
  });
}

function newService() {
  const ids = {
    serviceId: newId("service") as ServiceId,
    releaseId: newId("release") as ReleaseId,
    deployId: newId("deploy") as DeployId,
  };
  const digest = `sha256:${Buffer.from(ids.serviceId).toString("hex").padEnd(64, "0").slice(-64)}`;
  return { ids, digest };
}

export class Record {
  readonly #pool: pg.Pool;

  constructor(adminUrl: string) {
    this.#pool = new pg.Pool({ connectionString: adminUrl, max: 4 });
    // Of idle connections: the next query says what is wrong.
    this.#pool.on("error", () => undefined);
  }

  async setHosts(hosts: readonly { id: HostId; name: string }[]): Promise<void> {
    await this.#pool.query("truncate scheduler.hosts_seen; delete from api.hosts");
    await this.#pool.query(
      `insert into api.hosts (id, name, node_address, subnet, zone, agent_key, logshipper_key, curve_key)
       select id, name, '127.0.0.1', ('10.' || (at / 250) || '.' || (at % 250) || '.0/24')::cidr, 'z', id, id, id
         from unnest($1::text[], $2::text[]) with ordinality as h(id, name, at)`,
      [hosts.map(({ id }) => id), hosts.map(({ name }) => name)],
    );
  }

  /** Rows that wait for a host. Returns when they are committed. */
  async request(jobs: readonly NewJob[]): Promise<void> {
    await this.#pool.query(
      `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec)
       select s->>'jobId', s->>'orgId', s->>'environmentId', s->>'serviceId', s->>'releaseId', s->>'deployId', s->>'process', (s->>'slot')::int, s
         from unnest($1::text[]) as t(text), lateral (select t.text::jsonb as s) as spec`,
      [jobs.map(({ spec }) => JSON.stringify(spec))],
    );
  }

  /** @returns how many awards are stored as accepted, with their decisions */
  async acceptedCount(): Promise<number> {
    const { rows } = await this.#pool.query<{ n: number }>(
      `select count(*)::int as n from scheduler.jobs j join scheduler.decisions d on d.job_id = j.id and d.epoch = j.epoch
        where j.state = 'accepted' and d.outcome = 'placed'`,
    );
    return rows[0]?.n ?? 0;
  }

  /** The row of a broadcast auction: one committed statement. */
  async noteBroadcast(jobId: string, serviceId: string, winner: string): Promise<void> {
    await this.#pool.query(
      `insert into scheduler.decisions (id, job_id, service_id, epoch, outcome, winner_host_id, candidates, answer)
       values ($1, $2, $3, 1, 'placed', $4, '[]', 'accepted')`,
      [newId("decision"), jobId, serviceId, winner],
    );
  }

  async clear(): Promise<void> {
    await this.#pool.query("truncate scheduler.jobs, scheduler.decisions, scheduler.events");
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}
