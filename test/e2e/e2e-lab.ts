/**
 * One pod on three lab hosts for all end-to-end tests: made once, with limits low enough to meet them in a test.
 *
 * `BERTH_E2E_KEEP=1` leaves it up for the next run; what is slow to make is kept in any case.
 */
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureStackImage } from "@berth/infra/images/stack.ts";
import { type LabPod, labPodDown, labPodUp } from "@berth/infra/lab/lab-pod.ts";
import { GIB, MIB } from "@berth/shared/domain/resources.ts";
import pg from "pg";
import { type BuildEngine, buildCgroup, startBuildEngine } from "./build-engine.ts";

const index = 6;
const stateDir = "/tmp/berth-e2e";
const postgresPort = 17_623;
const engineDir = "/tmp/berth-e2e-engine";

/** What a host offers: less than the machine has, so that a host can be full. */
export const hostMemoryBytes = 6 * GIB;
export const buildTimeoutMs = 60_000;
export const readinessDeadlineMs = 12_000;
export const keepsLab = process.env.BERTH_E2E_KEEP === "1";

export interface E2eLab extends LabPod {
  readonly engine: BuildEngine;
  readonly stateDir: string;
  /** The record itself, as its superuser: to look at what no route shows, and to make what takes long to come. */
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Runs `docker` on a host. */
  docker(host: string, ...args: string[]): Promise<string>;
  close(): Promise<void>;
}

export async function startE2eLab(): Promise<E2eLab> {
  const say = (line: string): void => console.log(line);
  const engine = await startBuildEngine(engineDir);
  const cache = process.env.BERTH_TEST_CACHE ?? join(tmpdir(), "berth-test-cache");
  await ensureStackImage({ dockerSocket: engine.socket, stateDir: cache, onProgress: say });
  const running = await labPodUp({
    ...{ hosts: 3, stateDir, index, cacheDir: join(tmpdir(), "berth-lab-cache") },
    settings: {
      dockerSocket: engine.socket,
      ...{ postgresPort, natsMonitorPort: 17_624 },
      tuning: {
        BERTH_BUILD_TIMEOUT_MS: String(buildTimeoutMs),
        BERTH_BUILD_OUTPUT_BYTES: String(MIB),
        BERTH_BUILD_CGROUP: buildCgroup,
        BERTH_READINESS_DEADLINE_MS: String(readinessDeadlineMs),
        BERTH_UNPLACEABLE_AFTER_MS: "5000",
      },
      serviceEnv: { agent: { BERTH_AGENT_MEMORY_BYTES: String(hostMemoryBytes) } },
    },
    environment: process.env,
    progress: say,
    writeCredentials: false,
  });
  const password = await readFile(join(stateDir, "pki/passwords/postgres"), "utf8");
  const database = new pg.Pool({
    ...{ host: "127.0.0.1", port: postgresPort, user: "postgres", password, database: "berth", max: 2 },
  });
  const close = async (): Promise<void> => {
    await database.end();
    if (keepsLab) return;
    await labPodDown(stateDir, say);
    await engine.close();
    await rm(engineDir, { recursive: true, force: true });
  };
  return {
    ...running,
    ...{ engine, stateDir, close },
    query: async <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
      (await database.query<Row>(text, [...values])).rows,
    docker: async (host, ...args) => {
      const { code, stdout, stderr } = await running.lab.host(host).exec(["docker", ...args]);
      if (code !== 0) throw new Error(`docker ${args.join(" ")} on ${host}: ${stderr}`);
      return stdout;
    },
  };
}
