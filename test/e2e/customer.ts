/**
 * A customer with a home folder, a token, the `berth` command and the real git client: what users touch, nothing else.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { getWhoAmI } from "@berth/shared/contracts/http/accounts.ts";
import type { showDeploy } from "@berth/shared/contracts/http/deploys.ts";
import type { createService, serviceStatus, whyService } from "@berth/shared/contracts/http/services.ts";
import type { z } from "zod";
import { until } from "../git/until.ts";

const berth = join(import.meta.dirname, "../../berth");
const commandTimeoutMs = 120_000;

/** What commands answer with `--json`: exactly what the route says. */
export type Replies = {
  whoami: z.infer<typeof getWhoAmI.reply>;
  deploy: z.infer<typeof showDeploy.reply>;
  service: z.infer<typeof createService.reply>;
  status: z.infer<typeof serviceStatus.reply>;
  why: z.infer<typeof whyService.reply>;
};

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  /** stdout and stderr in the order in which they came, as a person sees it. */
  readonly output: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  output(): string;
}

export class Customer {
  readonly home: string;
  readonly environment: string;
  readonly #env: Readonly<Record<string, string>>;

  private constructor(home: string, environment: string, given: { apiUrl: string; token: string }) {
    this.home = home;
    this.environment = environment;
    this.#env = {
      ...{ PATH: "/usr/bin:/bin", HOME: home, LANG: "C.UTF-8" },
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? "",
      ...{ BERTH_API: given.apiUrl, BERTH_TOKEN: given.token, BERTH_ENV: environment },
      ...{ GIT_CONFIG_NOSYSTEM: "1", GIT_TERMINAL_PROMPT: "0" },
      ...{ GIT_AUTHOR_NAME: "Ann", GIT_AUTHOR_EMAIL: "ann@example.org" },
      ...{ GIT_COMMITTER_NAME: "Ann", GIT_COMMITTER_EMAIL: "ann@example.org" },
    };
  }

  /** @param environment `org/environment`; both are made when they are not there */
  static async arrive(
    parent: string,
    environment: string,
    given: { apiUrl: string; token: string },
  ): Promise<Customer> {
    await mkdir(parent, { recursive: true });
    const customer = new Customer(await mkdtemp(join(parent, "home-")), environment, given);
    const [org = ""] = environment.split("/");
    for (const words of [
      ["orgs", "create", org],
      ["environments", "create", environment],
    ]) {
      const { code, output } = await customer.tryBerth(words).ended;
      if (code !== 0 && !/already|in use/.test(output))
        throw new Error(`berth ${words.join(" ")}: ${output}`);
    }
    return customer;
  }

  withToken(token: string): Customer {
    const apiUrl = this.#env.BERTH_API ?? "";
    return new Customer(this.home, this.environment, { apiUrl, token });
  }

  tryBerth(args: readonly string[], options: RunOptions = {}): Running {
    return this.#run(berth, args, options);
  }

  /** @returns what was printed on stdout. @throws Error with all output when it fails */
  async berth(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, output } = await this.tryBerth(args, options).ended;
    if (code !== 0) throw new Error(`berth ${args.join(" ")} ended with ${code}: ${output}`);
    return stdout;
  }

  async json<Name extends keyof Replies>(_reply: Name, args: readonly string[]): Promise<Replies[Name]> {
    return JSON.parse(await this.berth([...args, "--json"])) as Replies[Name];
  }

  git(cwd: string, args: readonly string[], options: RunOptions = {}): Running {
    return this.#run("git", args, { ...options, cwd });
  }

  async gitOk(cwd: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, output } = await this.git(cwd, args, options).ended;
    if (code !== 0) throw new Error(`git ${args.join(" ")} ended with ${code}: ${output}`);
    return stdout.trim();
  }

  /** A service with a clone whose remote `berth` leads to it. An older service of that name is removed before. */
  async app(name: string, files: string | Files): Promise<App> {
    await this.tryBerth(["services", "rm", name, "--yes"]).ended;
    const service = await this.json("service", ["services", "create", name]);
    const app = new App(this, service, await mkdtemp(join(this.home, `${name}-`)));
    await this.gitOk(app.dir, ["init", "--quiet", "--initial-branch=main", "."]);
    await this.gitOk(app.dir, ["config", "gc.auto", "0"]); // its background process would outlive the test
    if (typeof files === "string") await copySample(files, app.dir);
    await app.commit(typeof files === "string" ? {} : files);
    await this.berth(["git-remote", "add", name], { cwd: app.dir });
    return app;
  }

  #run(file: string, args: readonly string[], options: RunOptions): Running {
    const child = spawn(file, args, { cwd: options.cwd ?? this.home, env: this.#env, detached: true });
    let stdout = "";
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    child.stdin.on("error", () => {});
    child.stdin.end(options.input);
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? commandTimeoutMs);
    const ended = new Promise<Ended>((resolve) =>
      child.once("close", (code) => {
        clearTimeout(timer);
        resolve({ code, stdout, output });
      }),
    );
    return { child, ended, output: () => output };
  }
}

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
}

export type Files = Readonly<Record<string, string>>;

async function copySample(name: string, dir: string): Promise<void> {
  await cp(join(import.meta.dirname, "../../samples", name), dir, {
    recursive: true,
    filter: (path) => !path.includes("node_modules"),
  });
}

export interface Pushed extends Ended {
  readonly commit: string;
  /** Named in the push; null when the push was refused. */
  readonly deployId: string | null;
}

export class App {
  readonly customer: Customer;
  readonly service: Replies["service"];
  readonly dir: string;

  constructor(customer: Customer, service: Replies["service"], dir: string) {
    this.customer = customer;
    this.service = service;
    this.dir = dir;
  }

  get name(): string {
    return this.service.name;
  }

  /** Writes the files, removes those whose content is null, commits. @returns the commit */
  async commit(files: Readonly<Record<string, string | null>>): Promise<string> {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(this.dir, path)), { recursive: true });
      if (content === null) await rm(join(this.dir, path), { force: true });
      else await writeFile(join(this.dir, path), content);
    }
    await this.customer.gitOk(this.dir, ["add", "-A"]);
    await this.customer.gitOk(this.dir, ["commit", "--quiet", "--allow-empty", "-m", "change"]);
    return await this.customer.gitOk(this.dir, ["rev-parse", "HEAD"]);
  }

  startPush(...refs: string[]): Running {
    const args = ["push", "berth", ...(refs.length === 0 ? ["HEAD:refs/heads/main"] : refs)];
    return this.customer.git(this.dir, args, { timeoutMs: 300_000 });
  }

  async push(files: Readonly<Record<string, string | null>> = {}): Promise<Pushed> {
    const commit =
      Object.keys(files).length > 0
        ? await this.commit(files)
        : await this.customer.gitOk(this.dir, ["rev-parse", "HEAD"]);
    const ended = await this.startPush().ended;
    return { ...ended, commit, deployId: deployIdIn(ended.output) };
  }

  status(): Promise<Replies["status"]> {
    return this.customer.json("status", ["status", this.name]);
  }

  /** @throws Error with the last status */
  async statusUntil(
    wanted: (status: Replies["status"]) => boolean,
    timeoutMs = 60_000,
  ): Promise<Replies["status"]> {
    let last: Replies["status"] | undefined;
    const look = async () => {
      last = await this.status();
      return wanted(last) ? last : undefined;
    };
    return await until(`the status of ${this.name}`, look, timeoutMs).catch((cause: unknown) => {
      throw new Error(`${String(cause)}; it is ${JSON.stringify(last?.instances)}`, { cause });
    });
  }
}

export function deployIdIn(output: string): string | null {
  return /dep_[0-9a-z]+/.exec(output)?.[0] ?? null;
}
