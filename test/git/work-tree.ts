/** A clone on the pusher's side: the real git client with no configuration of this machine. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

export interface GitResult {
  readonly code: number | null;
  readonly output: string;
}

export interface RunningGit {
  readonly child: ChildProcess;
  readonly result: Promise<GitResult>;
  readonly output: () => string;
}

export class WorkTree {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  static async make(parent: string): Promise<WorkTree> {
    const tree = new WorkTree(await mkdtemp(join(parent, "work-")));
    await tree.git(["init", "--quiet", "--initial-branch=main", "."]);
    await tree.git(["config", "gc.auto", "0"]); // its background process would outlive the test
    return tree;
  }

  async commit(files: Readonly<Record<string, string>>, message = "change"): Promise<string> {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(this.dir, path)), { recursive: true });
      await writeFile(join(this.dir, path), content);
    }
    await this.git(["add", "-A"]);
    await this.git(["commit", "--quiet", "--allow-empty", "-m", message]);
    return this.git(["rev-parse", "HEAD"]);
  }

  /** @returns stdout. @throws Error with all output on another exit code than 0 */
  async git(args: readonly string[], input?: string | Buffer): Promise<string> {
    const { code, output } = await this.start(args, input).result;
    if (code !== 0) throw new Error(`git ${args.join(" ")} ended with ${code}: ${output}`);
    return output.trim();
  }

  start(args: readonly string[], input?: string | Buffer): RunningGit {
    const env = {
      PATH: "/usr/bin:/bin",
      HOME: this.dir,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_TERMINAL_PROMPT: "0",
      GIT_AUTHOR_NAME: "Ann",
      GIT_AUTHOR_EMAIL: "ann@example.org",
      GIT_COMMITTER_NAME: "Ann",
      GIT_COMMITTER_EMAIL: "ann@example.org",
    };
    const child = spawn("git", args, { cwd: this.dir, env, detached: true });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    const result = new Promise<GitResult>((resolve) =>
      child.once("close", (code) => resolve({ code, output })),
    );
    return { child, result, output: () => output };
  }

  push(remote: string, ...refs: string[]): RunningGit {
    return this.start(["push", remote, ...(refs.length === 0 ? ["main"] : refs)]);
  }
}
