/**
 * Named places where a test kills the process, as a power cut would, or pauses it, as a frozen machine would.
 *
 * `BERTH_CRASH_AT=<name>` kills every life of the process there. `BERTH_CRASH_FILE=<path>` arms a running one: the
 * process dies at the place that the file names (`<name>`, or `<name> 3` for the third time that it gets there), and
 * removes the file first, so that its next life goes on. `<name> 1 pause` stops it (SIGSTOP) until it gets SIGCONT.
 */
import { readFileSync, unlinkSync } from "node:fs";

const wanted = process.env.BERTH_CRASH_AT;
const armedFile = process.env.BERTH_CRASH_FILE;
let remaining = Number(process.env.BERTH_CRASH_AFTER ?? "1");
let counted = "";
let hits = 0;

/** Dies by SIGKILL when this point is wanted; otherwise costs two comparisons. */
export function crashPoint(name: string): void {
  if (wanted === name) {
    remaining -= 1;
    if (remaining <= 0) process.kill(process.pid, "SIGKILL");
  }
  if (armedFile !== undefined) {
    const signal = armedSignal(armedFile, name);
    if (signal === null) return;
    unlinkSync(armedFile);
    process.kill(process.pid, signal);
  }
}

/** Counts from when the file was written: another text begins at one. @returns null while it is not the time */
function armedSignal(file: string, name: string): "SIGKILL" | "SIGSTOP" | null {
  let order: string;
  try {
    order = readFileSync(file, "utf8");
  } catch {
    return null;
  }
  const [point, nth = "1", how = "kill"] = order.split(" ");
  if (point !== name) return null;
  hits = order === counted ? hits + 1 : 1;
  counted = order;
  if (hits < Number(nth)) return null;
  return how === "pause" ? "SIGSTOP" : "SIGKILL";
}
