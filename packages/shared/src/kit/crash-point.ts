/**
 * Named places where a test kills the process, as a power cut would.
 *
 * `BERTH_CRASH_AT=<name>` kills every life of the process there. `BERTH_CRASH_FILE=<path>` arms a running one: the
 * process dies at the place that the file names (`<name>`, or `<name> 3` for the third time that it gets there), and
 * removes the file first, so that its next life goes on.
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
  if (armedFile !== undefined && isArmed(armedFile, name)) {
    unlinkSync(armedFile);
    process.kill(process.pid, "SIGKILL");
  }
}

/** Counts from when the file was written: another text begins at one. */
function isArmed(file: string, name: string): boolean {
  let order: string;
  try {
    order = readFileSync(file, "utf8");
  } catch {
    return false;
  }
  const [point, nth = "1"] = order.split(" ");
  if (point !== name) return false;
  hits = order === counted ? hits + 1 : 1;
  counted = order;
  return hits >= Number(nth);
}
