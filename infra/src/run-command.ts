/**
 * Runs one command to its end: arguments as a list (no shell), a deadline, bounded output, an error that says
 * which command, how it ended and its last lines.
 */
import { type ChildProcess, spawn } from "node:child_process";

const maxOutputBytes = 4 * 1024 * 1024;
const killAfterMs = 5000;

export type RunOptions = {
  readonly timeoutMs: number;
  readonly cwd?: string;
  /** The whole environment; by default the caller's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly uid?: number;
  readonly gid?: number;
  readonly onLine?: (line: string) => void;
  /** Ends the command: SIGTERM, and SIGKILL for what does not go. */
  readonly signal?: AbortSignal | undefined;
  /** In a session of its own, so that a Ctrl-C meant for us does not cut it in its middle. */
  readonly detached?: boolean;
};

export class CommandError extends Error {
  readonly exitCode: number | null;

  constructor(command: readonly string[], how: string, exitCode: number | null, output: string) {
    const lines = output.trimEnd().split("\n").slice(-15).join("\n  ");
    super(`${command.join(" ")}: ${how}${lines === "" ? "" : `\n  ${lines}`}`);
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}

/** @returns stdout. @throws CommandError on a non-zero exit, a signal, the deadline or a command that is not there. */
export function run(command: readonly string[], options: RunOptions): Promise<string> {
  const [file, ...args] = command;
  if (file === undefined) throw new Error("run: the command is empty");
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: (options.env ?? process.env) as NodeJS.ProcessEnv,
      stdio: ["ignore", "pipe", "pipe"],
      detached: options.detached === true,
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    let stdout = "";
    let all = "";
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, options.timeoutMs);
    const forget = endOnAbort(child, options.signal);
    const take = (chunk: string): void => {
      all = (all + chunk).slice(-maxOutputBytes);
    };
    const lineSplitters = [lineSplitter(options.onLine), lineSplitter(options.onLine)] as const;
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout = (stdout + chunk).slice(-maxOutputBytes);
      take(chunk);
      lineSplitters[0].push(chunk);
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      take(chunk);
      lineSplitters[1].push(chunk);
    });
    child.once("error", (error) => {
      clearTimeout(timer);
      forget();
      reject(new CommandError(command, `cannot be run: ${error.message}`, null, ""));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      forget();
      for (const splitter of lineSplitters) splitter.end();
      if (code === 0) resolve(stdout);
      else if (timedOut)
        reject(new CommandError(command, `did not end within ${options.timeoutMs / 1000} s`, null, all));
      else
        reject(
          new CommandError(command, signal === null ? `exit code ${code}` : `signal ${signal}`, code, all),
        );
    });
  });
}

/** @returns the undoing, for when the child has ended by itself. */
function endOnAbort(child: ChildProcess, signal: AbortSignal | undefined): () => void {
  if (signal === undefined) return () => undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const end = (): void => {
    child.kill("SIGTERM");
    killTimer = setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  };
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  return () => {
    clearTimeout(killTimer);
    signal.removeEventListener("abort", end);
  };
}

/** Gives whole lines, whatever the pieces that they come in. */
function lineSplitter(onLine: ((line: string) => void) | undefined): {
  push(chunk: string): void;
  end(): void;
} {
  let rest = "";
  return {
    push: (chunk) => {
      if (onLine === undefined) return;
      const lines = (rest + chunk).split("\n");
      rest = (lines.pop() ?? "").slice(-maxOutputBytes);
      for (const line of lines) if (line !== "") onLine(line);
    },
    end: () => {
      if (rest !== "") onLine?.(rest);
      rest = "";
    },
  };
}
