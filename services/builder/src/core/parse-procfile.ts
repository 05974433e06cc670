/**
 * Reads a Procfile: one process per line, `name: command`.
 *
 * The command stays one string and is later given whole to `sh -c` inside the app's own container. Nothing here
 * or in the platform splices it into another command line, so it can harm nobody but its own app.
 */
import type { Located } from "./build-failure.ts";

export type Procfile =
  | { readonly kind: "processes"; readonly processes: Readonly<Record<string, string>> }
  | { readonly kind: "problems"; readonly problems: readonly Located[] };

const MAX_PROCESSES = 32;
const MAX_COMMAND_CHARACTERS = 4096;
/** As `ProcessName` of the domain. */
const NAME = /^[a-z][a-z0-9_-]{0,29}$/;

export function parseProcfile(text: string): Procfile {
  const processes = new Map<string, string>();
  const problems: Located[] = [];
  for (const [index, raw] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const problem = readLine(line, processes);
    if (problem !== null) problems.push({ line: index + 1, text: problem });
  }
  if (processes.size > MAX_PROCESSES) {
    problems.push({ line: 0, text: `more than ${String(MAX_PROCESSES)} processes` });
  }
  if (problems.length > 0) return { kind: "problems", problems };
  return { kind: "processes", processes: Object.fromEntries(processes) };
}

/** Adds the line's process to `processes`, or says what is wrong with it. */
function readLine(line: string, processes: Map<string, string>): string | null {
  const colon = line.indexOf(":");
  if (colon === -1) return `no colon in \`${short(line)}\``;
  const name = line.slice(0, colon).trim();
  const command = line.slice(colon + 1).trim();
  if (!NAME.test(name)) {
    return `\`${short(name)}\` is not a process name: lower-case letters, digits, _ and -, at most 30, a letter first`;
  }
  if (command === "") return `\`${name}\` has no command`;
  if (command.length > MAX_COMMAND_CHARACTERS) {
    return `the command of \`${name}\` is longer than ${String(MAX_COMMAND_CHARACTERS)} characters`;
  }
  if (/[\u0000-\u0008\u000B-\u001F\u007F]/.test(command))
    return `the command of \`${name}\` has control characters`;
  if (processes.has(name)) return `\`${name}\` appears a second time`;
  processes.set(name, command);
  return null;
}

function short(text: string): string {
  const clean = text.replace(/[^\x20-\x7E]/g, "?");
  return clean.length > 60 ? `${clean.slice(0, 57)}...` : clean;
}
