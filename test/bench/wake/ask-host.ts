/** An asker in a host's network namespace: one order at a time. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Order, Report } from "./asker.ts";

const askerFile = fileURLToPath(new URL("./asker.ts", import.meta.url));

export class HostAsker {
  readonly #child: ChildProcess;
  #waiting: { resolve: (report: Report) => void; reject: (error: Error) => void } | null = null;

  constructor(netnsPath: string) {
    const node = [process.execPath, "--disable-warning=ExperimentalWarning", askerFile];
    const child = spawn("nsenter", [`--net=${netnsPath}`, ...node], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child = child;
    child.once("exit", (code) => this.#waiting?.reject(new Error(`the asker ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const waiting = this.#waiting;
      this.#waiting = null;
      waiting?.resolve(Report.parse(JSON.parse(line)));
    });
  }

  do(order: Order): Promise<Report> {
    if (this.#waiting !== null) throw new Error("the asker does one thing at a time");
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    });
  }

  close(): void {
    this.#child.stdin?.end();
    this.#child.kill("SIGKILL");
  }
}
