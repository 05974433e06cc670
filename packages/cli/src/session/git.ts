/** The git repository that the CLI is run in, through git itself. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CliError } from "./cli-error.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 10_000;

/** @returns what git printed, or null when it failed */
export async function tryGit(...args: string[]): Promise<string | null> {
  try {
    return (await run("git", args, { timeout: TIMEOUT_MS })).stdout.trim();
  } catch {
    return null;
  }
}

/** @throws CliError with git's own words */
export async function git(...args: string[]): Promise<string> {
  try {
    return (await run("git", args, { timeout: TIMEOUT_MS })).stdout.trim();
  } catch (cause) {
    const { stderr, code } = cause as { stderr?: string; code?: unknown };
    if (code === "ENOENT")
      throw new CliError("git is not installed", {
        cause,
        next: "Install git, for example with `apt-get install git`.",
      });
    throw new CliError(`git ${args[0]}: ${(stderr ?? "").trim() || String(cause)}`, { cause });
  }
}

export async function remoteUrl(name: string): Promise<string | null> {
  return tryGit("remote", "get-url", name);
}
