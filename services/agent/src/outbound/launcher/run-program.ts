/** Runs a program with a deadline and bounded output; arguments never pass a shell. */
import { spawn } from "node:child_process";

export interface ProgramOrder {
  readonly argv: readonly string[];
  readonly input: string;
  readonly timeoutMs: number;
  /** What a program prints beyond this is left out. */
  readonly maxOutputBytes: number;
}

export type ProgramResult =
  | { readonly kind: "ended-well"; readonly output: string }
  | { readonly kind: "failed"; readonly problem: string; readonly exitCode: number | null };

const PROBLEM_LENGTH = 4096;
const TOLD_LENGTH = 500;

/** Never rejects. */
export function runProgram({ argv, input, timeoutMs, maxOutputBytes }: ProgramOrder): Promise<ProgramResult> {
  const [program = "", ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    let output = "";
    let problem = "";
    const fail = (text: string, exitCode: number | null = null) => {
      clearTimeout(timer);
      resolve({ kind: "failed", problem: text, exitCode });
    };
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      fail(`${program} did not end within ${timeoutMs / 1000} s`);
    }, timeoutMs);
    child.stdout.on("data", (chunk: Buffer) => {
      if (output.length < maxOutputBytes) output += chunk.toString("utf8");
    });
    child.stderr.on("data", (chunk: Buffer) => {
      if (problem.length < PROBLEM_LENGTH) problem += chunk.toString("utf8");
    });
    child.stdin.on("error", () => {});
    child.on("error", (error) => fail(`${program} could not be run: ${error.message}`));
    child.on("close", (code) => {
      const words = argv.slice(0, 4).join(" ");
      if (code !== 0)
        return fail(`${words} ended with ${code}: ${problem.trim().slice(0, TOLD_LENGTH)}`, code);
      clearTimeout(timer);
      resolve({ kind: "ended-well", output });
    });
    child.stdin.end(input);
  });
}
