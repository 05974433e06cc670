/**
 * Runs one program of the machine, with a deadline, and gives back what it said.
 * The lab's whole grip on the machine (ip, nft, iptables, nsenter, mmdebstrap) goes through here.
 */
import { spawn } from "node:child_process";

export interface CommandResult {
  /** The exit code, or null when a signal ended it. */
  readonly code: number | null;
  /** The deadline's is SIGKILL. */
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly timeoutMs?: number;
  readonly input?: string | Buffer;
}

const defaultTimeoutMs = 20_000;
/** Past this the rest of an output is dropped: no command of the lab has more to say. */
const outputLimitBytes = 4 * 1024 * 1024;

/** Never throws for what the program did; throws when it could not be started at all. */
export function tryCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [program, ...args] = argv;
  if (program === undefined) throw new Error("a command needs at least the program's name");
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      timeout: options.timeoutMs ?? defaultTimeoutMs,
      killSignal: "SIGKILL",
    });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    child.once("error", (error) =>
      reject(new Error(`${program} could not be started: ${error.message}`, { cause: error })),
    );
    child.once("close", (code, signal) => resolve({ code, signal, stdout: stdout(), stderr: stderr() }));
    // A program that ends without reading its input is judged by its exit code, not by the broken pipe.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input);
  });
}

/** @throws Error with the command and what it said, when it failed or ran past its deadline. */
export async function command(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await tryCommand(argv, options);
  if (result.code === 0) return result.stdout;
  const why =
    result.signal === "SIGKILL"
      ? `killed, as a rule because it took longer than ${options.timeoutMs ?? defaultTimeoutMs} ms`
      : result.code === null
        ? `ended by ${result.signal}`
        : `exit code ${result.code}`;
  const said = (result.stderr.trim() || result.stdout.trim()).split("\n").slice(-12).join("\n  ");
  throw new Error(`${argv.join(" ")}: ${why}${said === "" ? "" : `\n  ${said}`}`);
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= outputLimitBytes) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString("utf8");
}
