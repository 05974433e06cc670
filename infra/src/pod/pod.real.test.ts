/** A whole pod from an empty folder: up, up again, the supervisor killed, down, reset. Needs root and Debian. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { afterAll, expect, test, vi } from "vitest";
import { lockHolder } from "../supervisor/lock.ts";
import { down, reset } from "./down.ts";
import { readPodFile } from "./settings.ts";
import { status } from "./status.ts";
import { type RunningPod, up } from "./up.ts";

const stateDir = mkdtempSync("/var/lib/berth-test-");
const lines: string[] = [];
const progress = (line: string): void => void lines.push(line);
const ports = {
  apiPort: 18420,
  gitPort: 18421,
  natsPort: 18422,
  postgresPort: 18423,
  natsMonitorPort: 18424,
  registryPort: 18425,
};

/** Containers and networks are the agent's matter; here the machine stays as it is. */
const start = (): Promise<RunningPod> =>
  up({
    settings: { stateDir, ...ports, joinThisMachine: false, stackImage: false },
    environment: { NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS },
    progress,
    writeCredentials: false,
  });

afterAll(async () => {
  if ((await readPodFile(stateDir)) !== null) await reset({ stateDir, progress });
  rmSync(stateDir, { recursive: true, force: true });
}, 120_000);

const pidsByName = async (): Promise<Record<string, number | null>> =>
  Object.fromEntries((await status(stateDir)).processes.map(({ name, pid }) => [name, pid]));

test("a pod comes up, stays as it is, survives its supervisor, goes down and leaves nothing", async () => {
  const pod = await start();
  expect((await status(stateDir)).state).toBe("up");
  const answer = await fetch(`${pod.apiUrl}/v1/whoami`, {
    headers: { authorization: `Bearer ${pod.adminToken}` },
  });
  expect(await answer.json()).toMatchObject({ isOperator: true, orgs: [{ name: "main", role: "owner" }] });

  const before = await pidsByName();
  await start();
  expect(await pidsByName()).toEqual(before);

  process.kill(lockHolder(pod.runDir) ?? 0, "SIGKILL");
  await vi.waitFor(async () => expect((await status(stateDir)).state).toBe("orphaned"));
  await start();
  expect(await pidsByName()).toEqual(before);

  await down({ stateDir, progress });
  expect((await status(stateDir)).state).toBe("down");
  expect(Object.values(before).filter((pid) => existsSync(`/proc/${pid}/exe`))).toEqual([]);

  await reset({ stateDir, progress });
  expect(existsSync(stateDir)).toBe(false);
}, 300_000);
