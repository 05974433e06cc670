/**
 * Looks through a Dockerfile for what is not built here, before BuildKit sees it.
 *
 * Refused: `# syntax=` (another frontend would run with the builder's rights and could undo the other rules),
 * `RUN --security`, `RUN --network` other than default or none, `RUN --device`, `RUN --mount=type=ssh`, a
 * cache or bind mount `from` another image, and secrets other than the platform's. Lines are joined as BuildKit
 * joins them, heredocs are skipped, so the line named is the one where the instruction starts.
 */
import type { Located } from "./build-failure.ts";

export interface DockerfileReport {
  readonly problems: readonly Located[];
  /** Names declared by `ARG`: only these are worth passing as build arguments. */
  readonly args: ReadonlySet<string>;
}

interface Instruction {
  readonly line: number;
  readonly word: string;
  readonly rest: string;
}

export const MAX_DOCKERFILE_BYTES = 256 * 1024;
/** The id under which the operator's extra CA bundle can be mounted: `RUN --mount=type=secret,id=berth-ca`. */
export const CA_SECRET_ID = "berth-ca";

export function checkDockerfile(text: string): DockerfileReport {
  if (text.length > MAX_DOCKERFILE_BYTES)
    return { problems: [{ line: 0, text: "it is larger than 256 KiB" }], args: new Set() };
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const directives = readDirectives(lines);
  const instructions = readInstructions(lines, directives.escapeCharacter);
  const problems = [...directives.problems];
  const args = new Set<string>();
  const stages = new Set<string>();
  if (!instructions.some((instruction) => instruction.word === "FROM")) {
    problems.push({ line: 0, text: "it has no FROM line" });
  }
  for (const instruction of instructions) {
    if (instruction.word === "ARG") for (const name of argNames(instruction.rest)) args.add(name);
    if (instruction.word === "FROM") addStage(instruction.rest, stages);
    const inner =
      instruction.word === "ONBUILD"
        ? instruction.rest.replace(/^\s*run\s+/i, "RUN ")
        : `${instruction.word} ${instruction.rest}`;
    if (inner.startsWith("RUN ")) {
      for (const text of checkRun(inner.slice(4), stages)) problems.push({ line: instruction.line, text });
    }
  }
  return { problems, args };
}

/** Parser directives stand at the very top, as `# name=value` comments; the first other line ends them. */
function readDirectives(lines: readonly string[]): { escapeCharacter: string; problems: Located[] } {
  const problems: Located[] = [];
  let escapeCharacter = "\\";
  let top = true;
  for (const [index, line] of lines.entries()) {
    // Newer frontends also read the directive from `//` comments and from below a `#!` line.
    const match = /^\s*(?:#|\/\/)\s*([a-z]+)\s*=\s*(.*?)\s*$/i.exec(line);
    const name = match?.[1]?.toLowerCase();
    if (name === "syntax") {
      problems.push({
        line: index + 1,
        text: "`# syntax=` is not allowed: the built-in frontend is used. Remove the line",
      });
    }
    if (!top) continue;
    if (match === null && !/^#!/.test(line)) top = false;
    else if (name === "escape" && (match?.[2] === "`" || match?.[2] === "\\")) escapeCharacter = match[2];
    if (index > 0 && match === null) top = false;
    if (/^\s*[^#/\s]/.test(line)) break;
  }
  return { escapeCharacter, problems };
}

function readInstructions(lines: readonly string[], escapeCharacter: string): Instruction[] {
  const found: Instruction[] = [];
  const continued = escapeCharacter === "`" ? /`[ \t]*$/ : /\\[ \t]*$/;
  let index = 0;
  while (index < lines.length) {
    const start = index;
    let joined = "";
    for (; index < lines.length; index += 1) {
      const line = lines[index] ?? "";
      if (/^\s*#/.test(line) || (joined !== "" && line.trim() === "")) continue;
      joined += line.replace(continued, "");
      if (!continued.test(line)) break;
    }
    index += 1;
    const match = /^\s*([A-Za-z]+)\s+([\s\S]*)$/.exec(joined);
    if (match?.[1] === undefined) continue;
    const instruction = { line: firstLine(lines, start), word: match[1].toUpperCase(), rest: match[2] ?? "" };
    found.push(instruction);
    if (["RUN", "COPY", "ADD"].includes(instruction.word))
      index = skipHeredocs(lines, index, instruction.rest);
  }
  return found;
}

/** The first line at or after `start` that is neither empty nor a comment. */
function firstLine(lines: readonly string[], start: number): number {
  let at = start;
  while (at < lines.length - 1 && /^\s*(#|$)/.test(lines[at] ?? "")) at += 1;
  return at + 1;
}

function skipHeredocs(lines: readonly string[], index: number, rest: string): number {
  let at = index;
  for (const match of rest.matchAll(/<<(-?)\s*(["']?)([A-Za-z_][A-Za-z0-9_]*)\2/g)) {
    const end = lines.findIndex(
      (line, i) => i >= at && (match[1] === "-" ? line.replace(/^\t+/, "") : line) === match[3],
    );
    if (end === -1) return at;
    at = end + 1;
  }
  return at;
}

function argNames(rest: string): string[] {
  return rest.split(/\s+/).flatMap((word) => /^([A-Za-z_][A-Za-z0-9_]*)(=|$)/.exec(word)?.[1] ?? []);
}

function addStage(rest: string, stages: Set<string>): void {
  stages.add(String(stages.size));
  const name = /\s+as\s+(\S+)\s*$/i.exec(rest)?.[1];
  if (name !== undefined) stages.add(name.toLowerCase());
}

/** Problems with the flags in front of a RUN command. */
function checkRun(rest: string, stages: ReadonlySet<string>): string[] {
  const problems: string[] = [];
  let left = rest.trimStart();
  for (;;) {
    const match = /^--([A-Za-z]+)(?:=(\S*))?(?:\s+|$)/.exec(left);
    if (match?.[1] === undefined) return problems;
    left = left.slice(match[0].length);
    const problem = checkRunFlag(match[1].toLowerCase(), unquoteFlag(match[2] ?? ""), stages);
    if (problem !== null) problems.push(problem);
  }
}

function unquoteFlag(value: string): string {
  return value.replace(/["']/g, "");
}

function checkRunFlag(name: string, value: string, stages: ReadonlySet<string>): string | null {
  if (name === "mount") return checkMount(value, stages);
  if (name === "network") {
    return value === "default" || value === "none"
      ? null
      : `\`RUN --network=${value}\` is not allowed; leave it out or use none`;
  }
  return `\`RUN --${name}\` is not allowed in a build`;
}

function checkMount(value: string, stages: ReadonlySet<string>): string | null {
  const options = new Map(value.split(",").map((part) => splitOption(part)));
  // A variable could turn into any type when BuildKit expands it.
  if (value.includes("$")) return "`RUN --mount` with a variable is not allowed; write the value out";
  const type = options.get("type") ?? "bind";
  const from = options.get("from")?.toLowerCase();
  if (!["bind", "cache", "tmpfs", "secret"].includes(type))
    return `\`RUN --mount=type=${type}\` is not allowed in a build`;
  if (type === "cache" && (from !== undefined || options.has("source"))) {
    return "`RUN --mount=type=cache` with `from` or `source` is not allowed";
  }
  if (type === "bind" && from !== undefined && !stages.has(from))
    return "`RUN --mount=type=bind` may take `from` only from a stage above";
  const id = options.get("id") ?? options.get("target")?.split("/").at(-1);
  if (type === "secret" && id !== CA_SECRET_ID)
    return `there is no build secret named \`${id ?? ""}\`; only \`${CA_SECRET_ID}\` exists`;
  return null;
}

function splitOption(part: string): [string, string] {
  const at = part.indexOf("=");
  const name = (at === -1 ? part : part.slice(0, at)).trim().toLowerCase();
  const value = at === -1 ? "true" : part.slice(at + 1).trim();
  const alias: Record<string, string> = { src: "source", dst: "target", destination: "target" };
  return [alias[name] ?? name, name === "type" ? value.toLowerCase() : value];
}
