/**
 * The supervisor's process: `node infra/src/supervisor/main.ts --run-dir DIR`.
 *
 * SIGTERM and SIGINT stop everything in order. A kill -9 leaves the processes running; the next supervisor of the
 * same folder adopts them.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { serveControl } from "./control-server.ts";
import { releaseLock, takeLock } from "./lock.ts";
import { socketPath } from "./protocol.ts";
import { Supervisor } from "./supervisor.ts";

const { values } = parseArgs({ options: { "run-dir": { type: "string" } } });
const runDir = values["run-dir"];
if (runDir === undefined || !runDir.startsWith("/")) {
  console.error("usage: node infra/src/supervisor/main.ts --run-dir /absolute/folder");
  process.exit(2);
}
mkdirSync(runDir, { recursive: true, mode: 0o700 });
takeLock(runDir);

const log = (message: string): void => console.log(`${new Date().toISOString()} ${message}`);
const supervisor = new Supervisor(runDir, log);

function leave(): void {
  rmSync(socketPath(runDir as string), { force: true });
  rmSync(join(runDir as string, "supervisor.pid"), { force: true });
  releaseLock(runDir as string);
  log("supervisor: stopped");
  process.exit(0);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    log(`supervisor: ${signal}, stopping everything`);
    void supervisor.stop().then(leave);
  });
}
process.on("SIGHUP", () => undefined);

try {
  await supervisor.apply();
  await serveControl(runDir, supervisor, leave);
  // For systemd (PIDFile=), which starts `berth up` again when this process is gone.
  writeFileSync(join(runDir, "supervisor.pid"), `${process.pid}\n`);
  log(`supervisor: serving ${socketPath(runDir)}, pid ${process.pid}`);
} catch (error) {
  log(`supervisor: cannot start: ${error instanceof Error ? error.message : String(error)}`);
  await supervisor.stop();
  releaseLock(runDir);
  process.exit(1);
}
