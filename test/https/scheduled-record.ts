/** What the network service and the scheduler would write for one service with an instance per host; sleeps it ends itself. */
import { RotationChanged, type RouteTable } from "@berth/shared/contracts/route.ts";
import { WakeService } from "@berth/shared/contracts/sleep.ts";
import type { ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { connectDatabase, type Database } from "@berth/shared/kit/database.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { type JoinedHost, type LiveApi, until } from "../../services/api/src/testing/live-api.ts";
import { onWakeService } from "../../services/scheduler/src/inbound/wake-service.ts";
import type { Tables } from "../../services/scheduler/src/outbound/tables.ts";

export type StoredTable = Pick<RouteTable, "version" | "sites"> & {
  readonly proxies: NonNullable<RouteTable["proxies"]>;
};

export class ScheduledRecord {
  readonly #api: LiveApi;
  readonly #environmentId: string;
  readonly #orgId: string;
  readonly #serviceId: ServiceId;
  readonly #bus: Bus;
  readonly #database: Database<Tables>;

  private constructor(
    api: LiveApi,
    { orgId, serviceId, environmentId }: Awaited<ReturnType<LiveApi["idsOf"]>>,
    bus: Bus,
  ) {
    this.#api = api;
    this.#environmentId = environmentId;
    this.#orgId = orgId;
    this.#serviceId = serviceId;
    this.#bus = bus;
    const url = api.pod.databaseUrls.scheduler;
    this.#database = connectDatabase<Tables>({ url, schema: "scheduler", log: silentLog });
    const { db } = this.#database;
    bus.serve(WakeService, {}, onWakeService({ db, bus, log: silentLog, wake: () => undefined }));
  }

  /** @param subnet of the service's environment */
  static async open(
    api: LiveApi,
    service: string,
    subnet: string,
    hosts: readonly JoinedHost[],
  ): Promise<ScheduledRecord> {
    const ids = await api.idsOf(service);
    for (const { hostId } of hosts)
      await api.admin.query(
        "insert into scheduler.hosts_seen (host_id, state, last_heartbeat_at, boot_id, heartbeat) values ($1,'alive',now(),'boot','{}')",
        [hostId],
      );
    await api.admin.query("insert into network.environments (environment_id, subnet) values ($1,$2)", [
      ...[ids.environmentId, subnet],
    ]);
    return new ScheduledRecord(api, ids, await api.connectAs("scheduler"));
  }

  async addInstance({ hostId }: JoinedHost, slice: string, address: string): Promise<void> {
    await this.#api.admin.query(
      "insert into network.members (environment_id, host_id, slice, port, public_key) values ($1,$2,$3,21000,'key')",
      [this.#environmentId, hostId, slice],
    );
    await this.#write(
      `insert into scheduler.jobs (id, org_id, environment_id, service_id, release_id, deploy_id, process, slot, spec, state, rotation, ready, host_id, address, port)
       select $2,$3,$4,$1,'rel','dep','web',1 + count(*),'{}','running','in',true,$5,$6,8080 from scheduler.jobs where service_id = $1`,
      ...[newId("job"), this.#orgId, this.#environmentId, hostId, address],
    );
  }

  async table(): Promise<StoredTable> {
    const { rows } = await this.#api.admin.query<StoredTable>(
      "select version, sites, proxies from router.route_tables where environment_id = $1",
      [this.#environmentId],
    );
    const [row] = rows;
    if (row === undefined) throw new Error("the environment has no route table");
    return row;
  }

  /** As when its hosts said that it sleeps. */
  async sleep(): Promise<void> {
    await this.#api.admin.query(
      "insert into scheduler.sleeps (service_id, epoch, state) values ($1, 1, 'asleep')",
      [this.#serviceId],
    );
    await this.#write(
      "update scheduler.jobs set state = 'asleep', ready = false, sleep_level = 'stopped', updated_at = now() where service_id = $1",
    );
  }

  /** @returns the host at whose activator a request came for it */
  async untilWoken(): Promise<string | null> {
    let by: string | null = null;
    await until("a request ended the sleep", async () => {
      const { rows } = await this.#api.admin.query<{ woken_by: string | null }>(
        "select woken_by from scheduler.sleeps where service_id = $1 and state = 'waking'",
        [this.#serviceId],
      );
      by = rows[0]?.woken_by ?? null;
      return by !== null;
    });
    return by;
  }

  /** As when its hosts said that it runs. */
  async awake(): Promise<void> {
    await this.#api.admin.query(
      "update scheduler.jobs set state = 'running', ready = true, updated_at = now() where service_id = $1",
      [this.#serviceId],
    );
    await this.#write(
      "update scheduler.sleeps set state = 'awake', state_since = now() where service_id = $1",
    );
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  async #write(text: string, ...more: readonly unknown[]): Promise<void> {
    await this.#api.admin.query(text, [this.#serviceId, ...more]);
    this.#bus.signal(RotationChanged, { serviceId: this.#serviceId });
  }
}
