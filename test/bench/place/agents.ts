/** The process of simulated agents, as its parent sees it. */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { HostId } from "@berth/shared/domain/ids.ts";
import { HostState } from "@berth/shared/domain/placement.ts";
import { z } from "zod";
import type { ToAgents } from "./agents-main.ts";
import type { BusAddress } from "./parts.ts";

const answerTimeoutMs = 60_000;
const Cpu = z.object({ user: z.number(), system: z.number() });

export class Agents {
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, (answer: unknown, error?: string) => void>();
  #ids = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (message: { id: number; answer?: unknown; error?: string }) =>
      this.#asked.get(message.id)?.(message.answer, message.error),
    );
    child.once("exit", (code) => {
      for (const done of this.#asked.values()) done(null, `the agents' process ended with ${String(code)}`);
    });
  }

  static async start(bus: BusAddress): Promise<Agents> {
    const child = fork(join(import.meta.dirname, "agents-main.ts"), {
      execArgv: ["--disable-warning=ExperimentalWarning"],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const agents = new Agents(child);
    await agents.#ask({ kind: "start", bus });
    return agents;
  }

  async setHosts(
    hosts: readonly { id: HostId; name: string }[],
    memoryBytes: number,
    echo: string,
  ): Promise<void> {
    await this.#ask({ kind: "hosts", hosts, memoryBytes, echo });
  }

  async tell(kind: "settle" | "clear"): Promise<void> {
    await this.#ask({ kind });
  }

  async states(): Promise<HostState[]> {
    return z.array(HostState).parse(await this.#ask({ kind: "states" }));
  }

  async cpuSeconds(): Promise<number> {
    const { user, system } = Cpu.parse(await this.#ask({ kind: "cpu" }));
    return (user + system) / 1e6;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    await this.#ask({ kind: "end" }).catch(() => this.#child.kill("SIGKILL"));
    await ended;
  }

  #ask(ask: ToAgents): Promise<unknown> {
    this.#ids += 1;
    const id = this.#ids;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`agents: no answer to ${ask.kind}`)), answerTimeoutMs);
      this.#asked.set(id, (answer, error) => {
        clearTimeout(timer);
        this.#asked.delete(id);
        if (error === undefined) resolve(answer);
        else reject(new Error(error));
      });
      this.#child.send({ id, ask });
    });
  }
}
