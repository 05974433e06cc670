/**
 * One log file per process, rotated by size.
 *
 * The file itself is the process's stdout and stderr (append mode), not a pipe through the supervisor: a killed
 * supervisor leaves its processes writing. That is why rotation copies and truncates; lines written between the
 * two calls (microseconds) can be lost, which a log may do and a record may not.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
} from "node:fs";
import { join } from "node:path";

const maxBytes = 16 * 1024 * 1024;
const keptCopies = 3;

export function logPath(runDir: string, name: string): string {
  return join(runDir, "logs", `${name}.log`);
}

/** @returns a descriptor to hand to the child; the caller closes it after spawning. */
export function openLog(runDir: string, name: string): number {
  mkdirSync(join(runDir, "logs"), { recursive: true, mode: 0o700 });
  return openSync(logPath(runDir, name), "a", 0o600);
}

export function closeLog(descriptor: number): void {
  closeSync(descriptor);
}

export function logSize(runDir: string, name: string): number {
  const path = logPath(runDir, name);
  return existsSync(path) ? statSync(path).size : 0;
}

/** What was written after `offset`, at most 256 KiB; all of it when the file was rotated meanwhile. */
export function logSince(runDir: string, name: string, offset: number): string {
  const path = logPath(runDir, name);
  if (!existsSync(path)) return "";
  const content = readFileSync(path);
  return content
    .subarray(content.length < offset ? 0 : offset)
    .subarray(0, 262_144)
    .toString("utf8");
}

export function rotateIfLarge(runDir: string, name: string): void {
  const path = logPath(runDir, name);
  if (!existsSync(path) || statSync(path).size < maxBytes) return;
  for (let copy = keptCopies - 1; copy >= 1; copy -= 1) {
    if (existsSync(`${path}.${copy}`)) renameSync(`${path}.${copy}`, `${path}.${copy + 1}`);
  }
  copyFileSync(path, `${path}.1`);
  truncateSync(path, 0);
}

/** The last lines of a process's log, for an error message. At most 64 KiB are looked at. */
export function lastLogLines(runDir: string, name: string, lines = 15): readonly string[] {
  const path = logPath(runDir, name);
  if (!existsSync(path)) return [];
  const text = readFileSync(path).subarray(-65_536).toString("utf8");
  return text.trimEnd().split("\n").slice(-lines);
}

/** For a person who wants to know why: the last errors of a service that logs JSON, else simply the last lines. */
export function tellingLogLines(runDir: string, name: string): readonly string[] {
  const errors = lastLogLines(runDir, name, 500)
    .map(errorLine)
    .filter((line) => line !== null);
  return errors.length === 0 ? lastLogLines(runDir, name) : errors.slice(-3);
}

/** "engine.not-usable: nft could not be run: spawn nft ENOENT", or null when this line tells no error. */
function errorLine(line: string): string | null {
  if (!line.startsWith("{")) return null;
  try {
    const { level, event, time, error } = JSON.parse(line) as {
      level?: unknown;
      event?: unknown;
      time?: unknown;
      error?: { chain?: { message?: unknown }[] };
    };
    if (level !== "error" && level !== "fatal") return null;
    const messages = (error?.chain ?? []).map(({ message }) => String(message));
    return `${String(time)} ${String(event)}: ${messages.join(", because ")}`;
  } catch {
    return null;
  }
}
