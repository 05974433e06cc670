/**
 * Starts git, always in the same cage: no configuration but ours, no prompts, no network protocols, limits on
 * memory, CPU time and core files, its own process group, and a deadline after which the whole group dies.
 */
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { spawn } from "node:child_process";

export interface ChildLimits {
  readonly childMemoryBytes: number;
  readonly childCpuSeconds: number;
}

/** Settings of every git process. They come from the environment, so nothing in a repository can say otherwise. */
export type GitSettings = Readonly<Record<string, string>>;

export interface GitCage {
  readonly limits: ChildLimits;
  readonly settings: GitSettings;
}

export interface GitProcess {
  readonly child: ChildProcessWithoutNullStreams;
  /** Exit code, or null after a signal. Never rejects. */
  readonly ended: Promise<number | null>;
  /** Last bytes of what it wrote to stderr. */
  readonly stderrTail: () => string;
  /** Takes the deadline away; the caller ends the process itself. */
  readonly forgetDeadline: () => void;
  readonly kill: () => void;
}

export interface GitRun {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs: number;
  readonly onTimeout?: () => void;
}

const TAIL_CHARS = 4000;

export function startGit(cage: GitCage, run: GitRun): GitProcess {
  const { childMemoryBytes, childCpuSeconds } = cage.limits;
  const prlimit = [`--data=${childMemoryBytes}`, `--cpu=${childCpuSeconds}`, "--core=0", "git", ...run.args];
  const child = spawn("prlimit", prlimit, {
    env: { ...gitEnvironment(cage.settings), ...run.env },
    cwd: run.cwd,
    detached: true,
  });
  let tail = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    tail = (tail + text).slice(-TAIL_CHARS);
  });
  child.stdin.on("error", () => {}); // a child that stopped reading says why on stderr or by its exit code
  const kill = () => killGroup(child.pid);
  const timer = setTimeout(() => {
    run.onTimeout?.();
    kill();
  }, run.timeoutMs);
  const ended = new Promise<number | null>((resolve) => {
    child.once("error", (error) => {
      tail += error.message;
      resolve(127);
    });
    child.once("close", (code) => resolve(code));
  }).finally(() => clearTimeout(timer));
  return { child, ended, stderrTail: () => tail.trim(), forgetDeadline: () => clearTimeout(timer), kill };
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The group is gone already.
  }
}

function gitEnvironment(settings: GitSettings): Record<string, string> {
  const env: Record<string, string> = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: "/nonexistent",
    LC_ALL: "C.UTF-8",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_TERMINAL_PROMPT: "0",
    GIT_NO_REPLACE_OBJECTS: "1",
    GIT_CONFIG_COUNT: String(Object.keys(settings).length),
  };
  for (const [index, [name, value]] of Object.entries(settings).entries()) {
    env[`GIT_CONFIG_KEY_${index}`] = name;
    env[`GIT_CONFIG_VALUE_${index}`] = value;
  }
  return env;
}

export class GitFailed extends Error {
  override name = "GitFailed";
}

/** Runs git to its end. @returns stdout, at most 1 MiB. @throws GitFailed on another exit code than 0 */
export async function runGit(cage: GitCage, run: GitRun): Promise<string> {
  const git = startGit(cage, run);
  git.child.stdin.end();
  let stdout = "";
  git.child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout = (stdout + text).slice(0, 1024 ** 2);
  });
  const code = await git.ended;
  if (code !== 0)
    throw new GitFailed(`git ${run.args.join(" ")} ended with ${code ?? "a signal"}: ${git.stderrTail()}`);
  return stdout;
}
