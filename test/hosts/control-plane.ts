/** The machine of the control plane: its processes lose power and come back, one is paused, one more is started. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type SupervisorClient, startDetached } from "@berth/infra/supervisor/client.ts";
import { readProcesses, writeProcesses } from "@berth/infra/supervisor/process-spec.ts";
import type { ProcessStatus } from "@berth/infra/supervisor/protocol.ts";
import { until } from "../faults/until.ts";

const goneDeadlineMs = 10_000;
const readyDeadlineMs = 120_000;

export class ControlPlane {
  readonly #runDir: string;
  #supervisor: SupervisorClient;

  private constructor(runDir: string, supervisor: SupervisorClient) {
    this.#runDir = runDir;
    this.#supervisor = supervisor;
  }

  static async connect(runDir: string): Promise<ControlPlane> {
    const supervisor = await connect(runDir);
    if (supervisor === null) throw new Error(`no supervisor runs in ${runDir}`);
    return new ControlPlane(runDir, supervisor);
  }

  async processes(): Promise<readonly ProcessStatus[]> {
    return (await this.#supervisor.status()).processes;
  }

  async process(name: string): Promise<ProcessStatus & { readonly pid: number }> {
    const found = (await this.processes()).find((one) => one.name === name);
    if (found === undefined || found.pid === null) throw new Error(`${name} does not run`);
    return { ...found, pid: found.pid };
  }

  /**
   * SIGKILL to the supervisor and to all that it runs, NATS and PostgreSQL included.
   * @returns the names of what is gone
   */
  async losePower(): Promise<string[]> {
    const { pid, processes } = await this.#supervisor.status();
    const running = processes.filter((one) => one.pid !== null);
    kill(pid); // first, or it would start again what ends
    for (const one of running) killGroup(one.pid as number);
    const pids = [pid, ...running.map((one) => one.pid as number)];
    await until(
      "the control plane to be gone",
      async () => pids.every((one) => !isAlive(one)) || undefined,
      goneDeadlineMs,
    );
    return running.map(({ name }) => name);
  }

  /** @returns when every process is ready again */
  async start(): Promise<void> {
    this.#supervisor = await startDetached(this.#runDir);
    await this.#supervisor.waitReady({ deadlineMs: readyDeadlineMs });
  }

  /** One more of a service, beside the first. */
  async addTwin(name: string): Promise<string> {
    const specs = await readProcesses(this.#runDir);
    const spec = specs.find((one) => one.name === name);
    if (spec === undefined) throw new Error(`there is no process ${name}`);
    const twin = `${name}-2`;
    const env = { ...spec.env, BERTH_CRASH_FILE: this.#crashFile(twin) };
    const others = specs.filter((one) => one.name !== twin);
    await writeProcesses(this.#runDir, [...others, { ...spec, env, name: twin }]);
    await this.#supervisor.apply();
    await this.#supervisor.waitReady({ names: [twin], deadlineMs: readyDeadlineMs });
    return twin;
  }

  async removeTwin(name: string): Promise<void> {
    const specs = await readProcesses(this.#runDir);
    await writeProcesses(
      this.#runDir,
      specs.filter((one) => one.name !== `${name}-2`),
    );
    await this.#supervisor.apply();
  }

  /** The process stops (SIGSTOP) when it next comes to the point; SIGCONT lets it go on. */
  armPause(name: string, point: string): void {
    writeFileSync(this.#crashFile(name), `${point} 1 pause`);
  }

  disarm(name: string): void {
    rmSync(this.#crashFile(name), { force: true });
  }

  /** In the folder that the service's user may write, so that it can remove the file. */
  #crashFile(name: string): string {
    return crashFile(join(this.#runDir, ".."), name);
  }

  /** Lines of a process's log from `offset` on. */
  log(name: string, offset = 0): string[] {
    const path = join(this.#runDir, "logs", `${name}.log`);
    if (!existsSync(path)) return [];
    return readFileSync(path)
      .subarray(offset)
      .toString("utf8")
      .split("\n")
      .filter((line) => line !== "");
  }

  /** Where the log ends now. */
  logEnd(name: string): number {
    const path = join(this.#runDir, "logs", `${name}.log`);
    return existsSync(path) ? readFileSync(path).length : 0;
  }
}

export function crashFile(stateDir: string, name: string): string {
  return join(stateDir, "services", "scheduler", `${name}-pause-at`);
}

/** What it started lies in its group. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    kill(pid);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** A process whose parent did not take note of its end yet is dead all the same. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
