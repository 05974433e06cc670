/**
 * The supervisor seen from outside: start it, ask it, change it, wait for it.
 * Every call opens its own connection and has a deadline, so a client outlives restarts of the supervisor.
 */
import { spawn } from "node:child_process";
import { mkdirSync, openSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { lockHolder } from "./lock.ts";
import { lastLogLines, tellingLogLines } from "./log-file.ts";
import {
  ApplyResult,
  type ControlRequest,
  ControlResponse,
  type ProcessStatus,
  SupervisorStatus,
  socketPath,
} from "./protocol.ts";

const askTimeoutMs = 5000;
/** Stopping waits for every process's own stop deadline, one level of dependants after the other. */
const changeTimeoutMs = 180_000;
/** Some ten seconds of trying: what never became ready and ends again and again will not by more waiting. */
const hopelessRestarts = 8;
const startTimeoutMs = 15_000;

export type SupervisorClient = {
  readonly runDir: string;
  status(): Promise<SupervisorStatus>;
  apply(): Promise<ApplyResult>;
  restart(name: string): Promise<void>;
  /** Stops every process, then the supervisor; resolves when it has ended. */
  stop(): Promise<void>;
  /**
   * Waits until these processes are ready (all, when no names are given).
   * @throws Error with the last log lines of a process that is not ready at the deadline, or never will be.
   */
  waitReady(options: WaitReady): Promise<void>;
};

export type WaitReady = {
  readonly names?: readonly string[];
  readonly deadlineMs: number;
  readonly onReady?: (status: ProcessStatus) => void;
  /** Gives up waiting; the processes go on. */
  readonly signal?: AbortSignal;
};

/** @returns a client when a supervisor of this folder answers, null when none runs. */
export async function connect(runDir: string): Promise<SupervisorClient | null> {
  try {
    await ask(runDir, { command: "status" }, askTimeoutMs);
    return clientOf(runDir);
  } catch (error) {
    const holder = lockHolder(runDir);
    if (holder === null) return null;
    throw new Error(
      `the supervisor of ${runDir} (pid ${holder}) runs but does not answer: ${String(error)}`,
      { cause: error },
    );
  }
}

/**
 * Starts a supervisor that outlives the caller, or connects to the one that runs. `processes.json` must exist.
 * @throws Error with the supervisor's last log lines when it does not answer in time.
 */
export async function startDetached(runDir: string, nodePath = process.execPath): Promise<SupervisorClient> {
  if (lockHolder(runDir) === null) spawnSupervisor(runDir, nodePath);
  const deadline = Date.now() + startTimeoutMs;
  while (Date.now() < deadline) {
    try {
      await ask(runDir, { command: "status" }, askTimeoutMs);
      return clientOf(runDir);
    } catch {
      await delay(25);
    }
  }
  const lines = lastLogLines(runDir, "supervisor").join("\n  ");
  throw new Error(
    `the supervisor of ${runDir} did not answer within ${startTimeoutMs / 1000} s. Its log ends with:\n  ${lines}`,
  );
}

function spawnSupervisor(runDir: string, nodePath: string): void {
  mkdirSync(join(runDir, "logs"), { recursive: true, mode: 0o700 });
  const log = openSync(join(runDir, "logs", "supervisor.log"), "a", 0o600);
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const child = spawn(nodePath, ["--disable-warning=ExperimentalWarning", main, "--run-dir", runDir], {
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log],
  });
  child.unref();
}

function clientOf(runDir: string): SupervisorClient {
  const status = async () => SupervisorStatus.parse(await ask(runDir, { command: "status" }, askTimeoutMs));
  return {
    runDir,
    status,
    apply: async () => ApplyResult.parse(await ask(runDir, { command: "apply" }, changeTimeoutMs)),
    restart: async (name) => void (await ask(runDir, { command: "restart", name }, changeTimeoutMs)),
    stop: async () => {
      await ask(runDir, { command: "stop" }, changeTimeoutMs);
      const deadline = Date.now() + askTimeoutMs;
      while (lockHolder(runDir) !== null && Date.now() < deadline) await delay(20);
    },
    waitReady: (options) => waitReady(runDir, status, options),
  };
}

async function waitReady(
  runDir: string,
  status: () => Promise<SupervisorStatus>,
  options: WaitReady,
): Promise<void> {
  const told = new Set<string>();
  const deadline = Date.now() + options.deadlineMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const { processes } = await status();
    const wanted = processes.filter(
      ({ name }) => options.names === undefined || options.names.includes(name),
    );
    for (const one of wanted.filter(({ name, state }) => state === "ready" && !told.has(name))) {
      told.add(one.name);
      options.onReady?.(one);
    }
    const missing = wanted.filter(({ state }) => state !== "ready");
    if (missing.length === 0) return;
    const hopeless = missing.filter(
      ({ restarts, readyAfterMs }) => restarts >= hopelessRestarts && readyAfterMs === null,
    );
    if (hopeless.length > 0)
      throw new Error(explainNotReady(runDir, hopeless, `after ${hopelessRestarts} restarts`));
    if (Date.now() > deadline)
      throw new Error(explainNotReady(runDir, missing, `after ${options.deadlineMs / 1000} s`));
    await delay(50);
  }
}

function explainNotReady(runDir: string, missing: readonly ProcessStatus[], when: string): string {
  const parts = missing.map((one) => {
    const why =
      one.waitingFor === null ? (one.lastExit?.how ?? "not ready yet") : `waits for ${one.waitingFor}`;
    const lines = one.state === "waiting" ? [] : tellingLogLines(runDir, one.name);
    const tail = lines.length === 0 ? "" : `\n    ${lines.join("\n    ")}`;
    return `  ${one.name}: ${one.state}, ${why}, ${one.restarts} restarts${tail}`;
  });
  return `not ready ${when}:\n${parts.join("\n")}\n  The whole logs are in ${join(runDir, "logs")}.`;
}

function ask(runDir: string, request: ControlRequest, timeoutMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ path: socketPath(runDir), allowHalfOpen: true });
    let text = "";
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(timeoutMs, () =>
      fail(new Error(`the supervisor did not answer '${request.command}' within ${timeoutMs} ms`)),
    );
    socket.once("error", fail);
    socket.once("connect", () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on("data", (chunk) => {
      text += chunk.toString("utf8");
    });
    socket.once("end", () => {
      socket.destroy();
      try {
        const response = ControlResponse.parse(JSON.parse(text));
        if (response.ok) resolve(response.result);
        else reject(new Error(response.error));
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}
