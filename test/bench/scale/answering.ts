/** How many replicas answer on all hosts together, by one checker per host in the host's network namespace. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Site } from "./arm.ts";

const checkerFile = fileURLToPath(new URL("./checker.ts", import.meta.url));
const firstLookTimeoutMs = 30_000;
const seen = z.object({ present: z.int().min(0), answering: z.int().min(0) });

interface Look {
  readonly present: number;
  readonly answering: number;
}

export class Answering {
  readonly #children: ChildProcess[] = [];
  readonly #looks = new Map<string, Look>();
  readonly #waiting = new Set<() => void>();
  readonly #hosts: number;
  #failure: Error | null = null;

  private constructor(hosts: number) {
    this.#hosts = hosts;
  }

  /** Comes back when every checker has looked once: none of their start is in the measured time. */
  static async start(
    sites: readonly Site[],
    network: string,
    port: number,
    path: string,
  ): Promise<Answering> {
    const answering = new Answering(sites.length);
    for (const site of sites) answering.#spawn(site, [network, String(port), path]);
    try {
      await answering.#until(
        "every checker's first look",
        () => answering.#looks.size === sites.length,
        firstLookTimeoutMs,
      );
    } catch (error) {
      answering.close();
      throw error;
    }
    return answering;
  }

  /** @returns `performance.now()` of when it was so. @throws Error at the deadline, with what was seen last */
  async all(replicas: number, timeoutMs: number): Promise<number> {
    const what = `${replicas} replicas to answer`;
    return await this.#until(what, () => this.#sum().answering >= replicas, timeoutMs);
  }

  /** Until only the first replica is left. */
  async only(replicas: number, timeoutMs: number): Promise<void> {
    const what = `all but ${replicas} replicas to be gone`;
    const alone = ({ present, answering }: Look): boolean => present === replicas && answering === replicas;
    await this.#until(what, () => alone(this.#sum()), timeoutMs);
  }

  close(): void {
    for (const child of this.#children) {
      child.stdin?.end();
      child.kill("SIGKILL");
    }
  }

  #spawn(site: Site, args: readonly string[]): void {
    const node = [process.execPath, "--disable-warning=ExperimentalWarning", checkerFile, site.dockerSocket];
    const child = spawn("nsenter", [`--net=${site.netnsPath}`, ...node, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#children.push(child);
    const fail = (why: string): void => {
      this.#failure ??= new Error(`the checker of ${site.name} ${why}`);
      this.#wake();
    };
    child.once("error", (error) => fail(`could not be started: ${error.message}`));
    child.once("exit", (code, signal) => fail(`ended by itself (${code ?? signal})`));
    child.stdin.on("error", () => undefined);
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.#looks.set(site.name, seen.parse(JSON.parse(line)));
      this.#wake();
    });
  }

  #sum(): Look {
    const looks = [...this.#looks.values()];
    return {
      present: looks.reduce((sum, { present }) => sum + present, 0),
      answering: looks.reduce((sum, { answering }) => sum + answering, 0),
    };
  }

  #wake(): void {
    for (const look of this.#waiting) look();
  }

  #until(what: string, isSo: () => boolean, timeoutMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const timer = setTimeout(() => {
        end();
        const { present, answering } = this.#sum();
        const state = `${this.#looks.size} of ${this.#hosts} hosts looked at, ${present} there, ${answering} answering`;
        reject(new Error(`waited ${timeoutMs / 1000} s for ${what}; last: ${state}`));
      }, timeoutMs);
      const look = (): void => {
        if (this.#failure === null && !isSo()) return;
        end();
        if (this.#failure === null) resolve(performance.now());
        else reject(this.#failure);
      };
      this.#waiting.add(look);
      look();
    });
  }
}
