/**
 * The git service with a real PostgreSQL and no other part: what pushes need, and nothing that deploys them.
 * Tests play the rest of the pod by writing the rows that the scheduler and the builder would.
 */
import type { ChildProcess } from "node:child_process";
import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { migrate } from "@berth/infra/migrate.ts";
import { postgresProcess } from "@berth/infra/parts/postgres.ts";
import { userIds } from "@berth/infra/supervisor/user.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import pg from "pg";

const servicesDir = join(import.meta.dirname, "../../services");
const execute = promisify(execFile);

export interface GitPod {
  readonly dir: string;
  readonly url: string;
  readonly db: pg.Pool;
  readonly ids: { org: string; user: string; environment: string; service: string; foreignService: string };
  readonly tokens: { good: string; expired: string; revoked: string };
  /** URL of acme/production/<service> with a token in it. */
  remote(service?: string, token?: string): string;
  /** Starts the service again, for example after a crash. */
  startService(env?: Record<string, string>): Promise<void>;
  stopService(): Promise<void>;
  /** Resolves when the service's process has ended by itself. */
  serviceEnded(): Promise<void>;
  readonly logLines: string[];
  close(): Promise<void>;
}

export async function startGitPod(env: Record<string, string> = {}): Promise<GitPod> {
  const dir = await mkdtemp(join(tmpdir(), "berth-git-"));
  const closers: (() => Promise<void>)[] = [];
  await execute("chmod", ["755", dir]);
  const postgres = await startPostgres(dir);
  closers.push(() => stopChild(postgres.child, "SIGINT"));
  const passwordOf = async () => "test";
  const urls = await migrate({
    adminUrl: postgres.adminUrl,
    database: "berth",
    servicesDir,
    passwordOf,
    progress: () => {},
  });
  const adminUrl = new URL(postgres.adminUrl);
  adminUrl.pathname = "/berth";
  const db = new pg.Pool({ connectionString: adminUrl.href, max: 2 });
  db.on("error", () => {});
  closers.push(() => db.end());
  const seeded = await seed(db);

  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const natsDir = join(dir, "nats-files");
  await mkdir(natsDir);
  await writeFile(join(natsDir, "creds"), "none");
  await writeFile(join(natsDir, "ca"), "none");
  const logLines: string[] = [];
  const baseEnv = {
    PATH: process.env.PATH ?? "",
    BERTH_STATE_DIR: join(dir, "git"),
    BERTH_DATABASE_URL: urls.git,
    // Nobody listens there: pushes must be taken without NATS.
    BERTH_NATS_URL: "tls://127.0.0.1:1",
    BERTH_NATS_CREDS: join(natsDir, "creds"),
    BERTH_NATS_CA: join(natsDir, "ca"),
    BERTH_LISTEN_PORT: String(port),
    BERTH_GIT_PUBLIC_URL: url,
    BERTH_OBJECT_STORE: `file://${join(dir, "objects")}`,
    BERTH_GIT_REPAIR_EVERY_MS: "1000",
    ...env,
  };
  let service: ChildProcess | undefined;
  const pod: GitPod = {
    dir,
    url,
    db,
    ...seeded,
    logLines,
    remote: (name = "shop", token = seeded.tokens.good) =>
      `http://berth:${token}@127.0.0.1:${port}/acme/production/${name}.git`,
    startService: async (more = {}) => {
      service = await startService({ ...baseEnv, ...more }, logLines);
    },
    stopService: async () => {
      if (service !== undefined) await stopChild(service, "SIGTERM");
    },
    serviceEnded: async () => {
      if (service !== undefined && service.exitCode === null && service.signalCode === null)
        await once(service, "exit");
    },
    close: async () => {
      await pod.stopService();
      for (const close of closers.reverse()) await close();
      await rm(dir, { recursive: true, force: true });
    },
  };
  await pod.startService();
  return pod;
}

async function startPostgres(dir: string) {
  const port = await freePort();
  const pkiDir = join(dir, "pki");
  await mkdir(pkiDir);
  await mkdir(join(dir, "run"), { mode: 0o755 });
  const postgres = await postgresProcess({ stateDir: dir, pkiDir, port, progress: () => {} });
  const [file = "", ...args] = postgres.spec.command;
  const ids = process.getuid?.() === 0 ? userIds("postgres") : {};
  const child = spawn(file, [...args, "-c", "fsync=off"], {
    env: postgres.spec.env as NodeJS.ProcessEnv,
    cwd: "/",
    stdio: ["ignore", "ignore", "inherit"],
    ...ids,
  });
  return { child, adminUrl: postgres.adminUrl };
}

async function startService(env: Record<string, string>, logLines: string[]): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", join(servicesDir, "git/src/main.ts")],
    {
      env,
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const ready = Promise.withResolvers<void>();
  createInterface(child.stdout).on("line", (line) => {
    logLines.push(line);
    if (line.includes('"service.ready"')) ready.resolve();
  });
  child.once("exit", (code) =>
    ready.reject(new Error(`the git service ended with ${code}:\n${logLines.slice(-20).join("\n")}`)),
  );
  await Promise.race([
    ready.promise,
    delay(30_000).then(() => Promise.reject(new Error("the git service is not ready after 30 s"))),
  ]);
  ready.promise.catch(() => {});
  return child;
}

async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  await ended;
  clearTimeout(timer);
}

async function seed(db: pg.Pool): Promise<Pick<GitPod, "ids" | "tokens">> {
  const ids = {
    org: newId("org"),
    user: newId("user"),
    environment: newId("environment"),
    service: newId("service"),
    foreignService: newId("service"),
  };
  const tokens = { good: newToken(), expired: newToken(), revoked: newToken() };
  const [otherOrg, otherEnvironment] = [newId("org"), newId("environment")];
  await db.query("insert into api.orgs (id, name) values ($1, 'acme'), ($2, 'other')", [ids.org, otherOrg]);
  await db.query("insert into api.users (id, email) values ($1, 'ann@example.org')", [ids.user]);
  await db.query("insert into api.members (org_id, user_id, role) values ($1, $2, 'member')", [
    ids.org,
    ids.user,
  ]);
  await db.query(
    "insert into api.environments (id, org_id, name) values ($1, $2, 'production'), ($3, $4, 'production')",
    [ids.environment, ids.org, otherEnvironment, otherOrg],
  );
  await addService(db, ids.service, ids.org, ids.environment, "shop");
  await addService(db, ids.foreignService, otherOrg, otherEnvironment, "bank");
  for (const [token, expires, revoked] of [
    [tokens.good, null, null],
    [tokens.expired, "2020-01-02T03:04:00Z", null],
    [tokens.revoked, null, "2020-01-02T03:04:00Z"],
  ]) {
    const hash = createHash("sha256")
      .update(token ?? "")
      .digest("hex");
    await db.query(
      "insert into api.tokens (id, user_id, name, hash, expires_at, revoked_at) values ($1, $2, $3, $4, $5, $6)",
      [newId("token"), ids.user, "test", hash, expires, revoked],
    );
  }
  return { ids, tokens };
}

function newToken(): string {
  return `berth_${randomBytes(20).toString("hex")}`;
}

export async function addService(
  db: pg.Pool,
  id: string,
  orgId: string,
  environmentId: string,
  name: string,
): Promise<void> {
  await db.query(
    "insert into api.services (id, org_id, environment_id, name, hostname_label) values ($1, $2, $3, $4, $5)",
    [id, orgId, environmentId, name, `${name}-production`],
  );
}
