/** Runs programs by the launcher, which is started at the first one and again when it died. */
import { type ChildProcess, fork } from "node:child_process";
import type { LauncherOrder } from "./launcher/launcher.ts";
import type { ProgramResult } from "./launcher/run-program.ts";

/** Packet rules, links and peers of a full host: half of it would be read as if the rest were gone. */
const MAX_OUTPUT = 8 * 1024 ** 2;
/** A launcher that says nothing for so long after a program's deadline hangs itself. */
const LAUNCHER_PATIENCE_MS = 5000;
const LAUNCHER = new URL("./launcher/launcher.ts", import.meta.url);
const LAUNCHER_OPTIONS = [
  "--disable-warning=ExperimentalWarning",
  "--max-old-space-size=128",
  "--max-semi-space-size=1",
];

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

type Settle = (result: ProgramResult) => void;

class Launcher {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Settle>();
  #lastId = 0;
  #over: string | null = null;

  constructor() {
    this.#process = fork(LAUNCHER, { execArgv: LAUNCHER_OPTIONS, serialization: "advanced" });
    this.#process.on("message", (result: ProgramResult & { id: number }) => this.#settle(result.id, result));
    this.#process.on("error", (error) => this.#end(error.message));
    this.#process.on("exit", (code, signal) => this.#end(`it ended with ${signal ?? code}`));
    this.#holdOpen();
  }

  get isOver(): boolean {
    return this.#over !== null;
  }

  run(order: Omit<LauncherOrder, "id">): Promise<ProgramResult> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve) => {
      const hangs = setTimeout(() => {
        this.#process.kill("SIGKILL");
        this.#end("it did not answer");
      }, order.timeoutMs + LAUNCHER_PATIENCE_MS);
      this.#waiting.set(id, (result) => {
        clearTimeout(hangs);
        resolve(result);
      });
      this.#holdOpen();
      this.#process.send({ ...order, id }, (error) => {
        if (error !== null) this.#end(error.message);
      });
    });
  }

  #settle(id: number, result: ProgramResult): void {
    this.#waiting.get(id)?.(result);
    this.#waiting.delete(id);
    this.#holdOpen();
  }

  #end(why: string): void {
    this.#over ??= why;
    const problem = `the process that starts the agent's programs is gone: ${why}`;
    for (const id of [...this.#waiting.keys()]) this.#settle(id, { kind: "failed", problem, exitCode: null });
  }

  /** A process whose work is done ends, although its launcher waits for more. */
  #holdOpen(): void {
    const how = this.#waiting.size > 0 ? "ref" : "unref";
    this.#process[how]();
    this.#process.channel?.[how]();
  }
}

let launcher: Launcher | null = null;

/** @returns what the program printed on stdout. @throws CommandError when it did not end with 0 in time */
export async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  if (launcher === null || launcher.isOver) launcher = new Launcher();
  const result = await launcher.run({
    argv,
    input: options.input ?? "",
    timeoutMs: options.timeoutMs ?? 10_000,
    maxOutputBytes: options.maxOutputBytes ?? MAX_OUTPUT,
  });
  if (result.kind === "ended-well") return result.output;
  throw new CommandError(result.problem, result.exitCode);
}
