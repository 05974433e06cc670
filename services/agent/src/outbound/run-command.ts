/** Runs a program with a deadline and bounded output; arguments never pass a shell. */
import { spawn } from "node:child_process";

/** Packet rules, links and peers of a full host: half of it would be read as if the rest were gone. */
const MAX_OUTPUT = 8 * 1024 ** 2;

export class CommandError extends Error {
  override name = "CommandError";
  readonly exitCode: number | null;
  constructor(message: string, exitCode: number | null) {
    super(message);
    this.exitCode = exitCode;
  }
}

export interface CommandOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  /** What a program prints beyond this is left out. */
  readonly maxOutputBytes?: number;
}

/** @returns what the program printed on stdout. @throws CommandError when it did not end with 0 in time */
export function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [program = "", ...args] = argv;
  const timeoutMs = options.timeoutMs ?? 10_000;
  const maxOutputBytes = options.maxOutputBytes ?? MAX_OUTPUT;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    let out = "";
    let problem = "";
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new CommandError(`${program} did not end within ${timeoutMs / 1000} s`, null));
    }, timeoutMs);
    child.stdout.on("data", (chunk: Buffer) => {
      if (out.length < maxOutputBytes) out += chunk.toString("utf8");
    });
    child.stderr.on("data", (chunk: Buffer) => {
      if (problem.length < 4096) problem += chunk.toString("utf8");
    });
    child.stdin.on("error", () => {});
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(new CommandError(`${program} could not be run: ${error.message}`, null));
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(out);
      else
        reject(
          new CommandError(
            `${argv.slice(0, 4).join(" ")} ended with ${code}: ${problem.trim().slice(0, 500)}`,
            code,
          ),
        );
    });
    child.stdin.end(options.input ?? "");
  });
}
