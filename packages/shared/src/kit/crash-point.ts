/** Named places where a test kills the process, as a power cut would: `BERTH_CRASH_AT=<name>`. */
const wanted = process.env.BERTH_CRASH_AT;
let remaining = Number(process.env.BERTH_CRASH_AFTER ?? "1");

/** Dies by SIGKILL when the environment names this point; otherwise costs a string comparison. */
export function crashPoint(name: string): void {
  if (wanted !== name) return;
  remaining -= 1;
  if (remaining <= 0) process.kill(process.pid, "SIGKILL");
}
