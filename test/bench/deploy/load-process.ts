/** The load's process: one order at a time, one report per window. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type LoadOrder, WindowReport } from "./load.ts";

const loadFile = fileURLToPath(new URL("./load.ts", import.meta.url));

export class LoadProcess {
  readonly #child: ChildProcess;
  #waiting: { resolve: (report: WindowReport) => void; reject: (error: Error) => void } | null = null;

  constructor(start: Omit<Extract<LoadOrder, { op: "start" }>, "op">) {
    const [program = "", ...args] = [
      ...onTime(),
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      loadFile,
    ];
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#child = child;
    child.once("exit", (code) => this.#waiting?.reject(new Error(`the load ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const waiting = this.#waiting;
      this.#waiting = null;
      waiting?.resolve(WindowReport.parse(JSON.parse(line)));
    });
    this.#tell({ op: "start", ...start });
  }

  /** Ends the window that began with the last call. @returns what happened in it */
  window(): Promise<WindowReport> {
    if (this.#waiting !== null) throw new Error("the load ends one window at a time");
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#tell({ op: "window" });
    });
  }

  close(): void {
    this.#child.stdin?.end();
    this.#child.kill("SIGKILL");
  }

  #tell(order: LoadOrder): void {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
  }
}

/**
 * The load stands for visitors with machines of their own: on the lab's cores it goes before all else, so that what it
 * measures is not its own wait for one. Where the kernel does not let it, it waits like everybody.
 */
function onTime(): readonly string[] {
  const first = ["chrt", "--rr", "1"] as const;
  return spawnSync(first[0], [...first.slice(1), "true"]).status === 0 ? first : [];
}
