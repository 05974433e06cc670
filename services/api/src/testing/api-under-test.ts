/** For tests: the api on a real PostgreSQL with two orgs, and calls of its routes by name. */
import type { Domain } from "@berth/shared/contracts/http/domains.ts";
import type { HttpRoute } from "@berth/shared/contracts/http/route.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { silentLog } from "@berth/shared/kit/log.ts";
import { createCurve, createUser } from "@nats-io/nkeys";
import pg from "pg";
import type { RouteName } from "../inbound/http/routes.ts";
import { allRoutes } from "../inbound/http/routes.ts";
import { reconcileReleases } from "../inbound/reconcile-releases.ts";
import type { PodFixture } from "./pod-fixture.ts";
import { addOrg, startPodFixture } from "./pod-fixture.ts";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const CERTIFICATES = { kept: newId("certificate"), old: newId("certificate") };
export const TASK = newId("task");
export const DIGEST = `sha256:${"ab".repeat(32)}`;

interface TestOrg {
  readonly orgId: string;
  readonly owner: string;
  readonly member: string;
}

export interface Called {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

interface CallGiven {
  readonly params?: Record<string, string>;
  readonly query?: Record<string, string>;
  readonly body?: object | undefined;
}

/** `own` is the org acme, whose owner is an operator and which has the service shop; `foreign` is another org. */
export class ApiUnderTest {
  readonly pod: PodFixture;
  /** A superuser's connection: for writing other services' tables. */
  readonly admin: pg.Client;
  readonly own: TestOrg;
  readonly foreign: TestOrg;
  /** A deploy of shop whose build is queued. */
  readonly ids = { deployId: newId("deploy"), buildId: newId("build") };

  static async start(): Promise<ApiUnderTest> {
    const pod = await startPodFixture();
    const admin = new pg.Client({ connectionString: pod.adminUrl });
    admin.on("error", () => undefined); // a test may end the server
    await admin.connect();
    const own = await addOrg(pod.db, "acme", { operator: true });
    const api = new ApiUnderTest(pod, admin, own, await addOrg(pod.db, "rival"));
    await api.call("createService", own.member, { body: { name: "shop" } });
    await api.storePush(api.ids.deployId, await api.serviceId("shop"), api.ids.buildId);
    await api.storeHost("dock", "10.209.0.0/24");
    await api.call("createService", own.member, { body: { name: "ledger" } });
    for (const deployState of ["succeeded", "succeeded", null]) await api.release("ledger", deployState);
    await api.storeTask("ledger");
    for (const id of Object.values(CERTIFICATES)) await api.storeCertificate(id);
    for (const domain of ["www.example.com", "old.example.com"]) {
      const { body } = await api.call("addDomain", own.member, { body: { name: domain } });
      api.prove(body as Domain);
    }
    return api;
  }

  private constructor(pod: PodFixture, admin: pg.Client, own: TestOrg, foreign: TestOrg) {
    this.pod = pod;
    this.admin = admin;
    this.own = own;
    this.foreign = foreign;
  }

  /** What the domain's owner does with the record that the API printed. */
  prove({ record }: Domain): void {
    this.pod.dns.txt.set(record.name, ["another record", record.value]);
  }

  async close(): Promise<void> {
    await this.admin.end();
    await this.pod.close();
  }

  /** Calls a route by name; what `params` leaves out is acme's shop. */
  async call(name: RouteName, token: string | null, given: CallGiven = {}): Promise<Called> {
    const named: Record<string, string> = {
      ...{
        org: "acme",
        environment: "production",
        service: "shop",
        host: "dock",
        pod: "main",
        peer: "laptop",
      },
      ...this.ids,
      ...given.params,
    };
    const route = routeOf(name);
    const reply = await this.pod.app.inject({
      method: route.method,
      url: route.path.replace(/:(\w+)/g, (_all, key: string) => named[key] ?? "missing"),
      ...(given.query === undefined ? {} : { query: given.query }),
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
      ...(given.body === undefined ? {} : { payload: given.body }),
    });
    const [first = ""] = reply.body.split("\n");
    return {
      status: reply.statusCode,
      headers: reply.headers,
      body: first.startsWith("{") ? JSON.parse(first) : first,
    };
  }

  async serviceId(name: string): Promise<string> {
    const row = await this.pod.db
      .selectFrom("services")
      .select("id")
      .where("name", "=", name)
      .where("deleted_at", "is", null)
      .executeTakeFirstOrThrow();
    return row.id;
  }

  async storePush(deployId: string, service: string, buildId: string, pushedAt = new Date()): Promise<void> {
    const { org_id, environment_id } = await this.pod.db
      .selectFrom("services")
      .select(["org_id", "environment_id"])
      .where("id", "=", service)
      .executeTakeFirstOrThrow();
    await this.admin.query(
      "insert into git.pushes (deploy_id, org_id, environment_id, service_id, commit, ref, bundle_key, bundle_bytes, created_at) values ($1,$2,$3,$4,$5,'refs/heads/main','k',1,$6)",
      [deployId, org_id, environment_id, service, COMMIT, pushedAt],
    );
    await this.admin.query(
      "insert into builder.builds (id, deploy_id, org_id, environment_id, service_id, commit, bundle_key, pushed_at, state, created_at) values ($1,$2,$3,$4,$5,$6,'k',$7,'queued',$7)",
      [buildId, deployId, org_id, environment_id, service, COMMIT, pushedAt],
    );
  }

  /** A cron's run, and the cron in every release. */
  async storeTask(name: string): Promise<void> {
    const cron = { nightly: { schedule: "@daily", command: "node report.js" } };
    await this.admin.query("update api.releases set tasks = $1", [{ cron }]);
    await this.admin.query(
      `insert into scheduler.tasks (id, org_id, environment_id, service_id, release_id, deploy_id, kind, name, number, command, deadline_ms)
       select $1, s.org_id, s.environment_id, s.id, r.id, r.deploy_id, 'cron', 'nightly', 1, 'node report.js', 1000
         from api.services s join api.releases r on r.service_id = s.id and r.version = 1 where s.name = $2`,
      [TASK, name],
    );
  }

  async storeCertificate(id: string): Promise<void> {
    const info = { names: ["www.example.com"], issuer: "CN=Test", notBeforeMs: 0, notAfterMs: 1 };
    await this.admin.query(
      `insert into api.certificates (id, org_id, environment_id, info)
       select $1, org_id, id, $2 from api.environments where org_id = $3`,
      [id, { ...info, fingerprint: "0".repeat(64), keyKind: "EC P-256" }, this.own.orgId],
    );
  }

  async storeHost(name: string, subnet: string): Promise<void> {
    const keys = { agent_key: "U", logshipper_key: "U", curve_key: "X" };
    const host = { id: newId("host"), name, node_address: "10.0.0.1", subnet, zone: "default" };
    await this.pod.db
      .insertInto("hosts")
      .values({ ...host, ...keys })
      .execute();
  }

  async finishBuild(
    buildId: string,
    processes: object = { web: { command: "run" }, worker: { command: "work" } },
    digest = DIGEST,
  ): Promise<void> {
    await this.admin.query(
      "update builder.builds set state='succeeded', started_at=now(), finished_at=now(), image_repository='o/s', image_digest=$2, image_bytes=10, processes=$3, profile=$4 where id=$1",
      [buildId, digest, processes, { port: 8080, rootFilesystem: "read-only", runsAsRoot: false }],
    );
  }

  /** Makes the service's next release; a succeeded one is serving. */
  async release(name: string, deployState: string | null, digest = DIGEST): Promise<string> {
    const serviceId = await this.serviceId(name);
    const [deployId, buildId] = [newId("deploy"), newId("build")];
    await this.storePush(deployId, serviceId, buildId);
    await this.finishBuild(buildId, undefined, digest);
    await this.reconcile();
    const { id } = await this.pod.db
      .selectFrom("releases")
      .select("id")
      .where("deploy_id", "=", deployId)
      .executeTakeFirstOrThrow();
    if (deployState === null) return id;
    await this.admin.query(
      "insert into scheduler.deploys (id, service_id, release_id, state, finished_at) values ($1,$2,$3,$4,now())",
      [deployId, serviceId, id, deployState],
    );
    if (deployState === "succeeded")
      await this.admin.query(
        "insert into scheduler.serving (service_id, release_id) values ($1,$2) on conflict (service_id) do update set release_id = $2",
        [serviceId, id],
      );
    return id;
  }

  /** What the service does every two seconds. */
  reconcile(): Promise<void> {
    return reconcileReleases({ db: this.pod.db, outbox: { wake: () => undefined }, log: silentLog });
  }
}

/** What a route's path names, where that is not shop itself: ledger has releases, shop has none. */
export function sampleParams(name: RouteName): Record<string, string> {
  const ofLedger: readonly RouteName[] = [
    ...(["showRelease", "changeRelease", "removeRelease"] as const),
    ...(["rollbackService", "redeployService", "restartService", "sleepService", "wakeService"] as const),
  ];
  const ofTasks: readonly RouteName[] = [
    "runCron",
    "runTask",
    "showTask",
    "cancelTask",
    "listCrons",
    "listTasks",
  ];
  if (name === "removeDomain") return { domain: "old.example.com" };
  if (name === "showCertificate") return { certificate: CERTIFICATES.kept };
  if (name === "removeCertificate") return { certificate: CERTIFICATES.old };
  if (["showDomain", "verifyDomain", "changeDomain"].includes(name)) return { domain: "www.example.com" };
  if (ofTasks.includes(name)) return { service: "ledger", cron: "nightly", task: TASK };
  return ofLedger.includes(name) ? { service: "ledger", version: "1" } : {};
}

/** A valid body for each route that has one. */
export function sampleBody(name: RouteName): object | undefined {
  const key = () => createUser().getPublicKey();
  const samples: Partial<Record<RouteName, object>> = {
    createOrg: { name: uniqueName("org") },
    createEnvironment: { name: uniqueName("env") },
    createService: { name: uniqueName("svc") },
    scaleService: { processes: [{ process: "web", scale: 2 }] },
    changeEnvironmentAllow: { sources: ["203.0.113.0/24"] },
    changeServiceAllow: { sources: null },
    changeEgressGateway: { org: "acme", environment: "production", gateway: { host: "dock" } },
    addCertificate: { chain: "a chain", key: "a key" },
    changeDomain: { httpsOnly: true, hstsSeconds: 3600 },
    addDomain: { name: "shop.example.com" },
    changeEgress: { mode: "none", rules: [] },
    offerLink: { service: "ledger", port: 8080, to: { org: "rival", environment: "production" } },
    withdrawLink: { service: "ledger", port: 8080, to: { org: "rival", environment: "production" } },
    acceptLink: { org: "rival", environment: "production", service: "vault", port: 5432 },
    leaveLink: { org: "rival", environment: "production", service: "vault", port: 5432 },
    changeServicePolicy: { onReturn: "keep-original" },
    changeServiceHttp: { http: { sticky: true } },
    changeVars: { set: { GREETING: "hello" } },
    changeRelease: { notes: "the good one" },
    rollbackService: { variables: "keep" },
    restartService: {},
    changeMaintenance: { on: true },
    runTask: { command: "node report.js" },
    deployImage: { image: "nginx:1.27" },
    sleepService: {},
    createJoinToken: { lifetimeMinutes: 5 },
    changeHost: { cordoned: true },
    createPod: { name: uniqueName("pod") },
    changePod: { strategy: "spread" },
    addNetworkPeer: { name: "laptop", publicKey: `${"A".repeat(43)}=` },
    joinHost: {
      token: "berth_join_unknown",
      name: uniqueName("host"),
      nodeAddress: "10.0.0.9",
      agentKey: key(),
      logshipperKey: key(),
      curveKey: createCurve().getPublicKey(),
    },
  };
  return samples[name];
}

let counter = 0;
const uniqueName = (kind: string) => `${kind}-${++counter}`;

function routeOf(name: RouteName): HttpRoute {
  const found = allRoutes().find(([other]) => other === name);
  if (found === undefined) throw new Error(`no route ${name}`);
  return found[1];
}
