/**
 * The bare repositories on disk, one per service: `<state>/repositories/<service id>.git`.
 * Names in URLs never become paths; only ids do.
 */
import { access, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { ServiceId, UserId } from "@berth/shared/domain/ids.ts";
import { GitCommit } from "@berth/shared/domain/names.ts";
import type { GitCage, GitRun } from "./git-process.ts";
import { runGit } from "./git-process.ts";

const COMMAND_TIMEOUT_MS = 20_000;

/** Settings of all git processes; `hooksDir` holds our two hooks. */
export function repositorySettings(given: { hooksDir: string; packBytes: number }): Record<string, string> {
  return {
    "safe.directory": "*",
    "core.hooksPath": given.hooksDir,
    "core.fsmonitor": "false",
    "core.logAllRefUpdates": "true", // names the pusher for the repair
    "core.bigFileThreshold": "32m",
    "core.deltaBaseCacheLimit": "64m",
    "pack.threads": "1",
    "pack.windowMemory": "128m",
    "transfer.fsckObjects": "true",
    "receive.fsckObjects": "true",
    "receive.maxInputSize": String(given.packBytes),
    "receive.unpackLimit": "1", // always a pack: its header tells the number of objects
    "receive.autogc": "false",
    "receive.advertisePushOptions": "false",
    "receive.shallowUpdate": "false",
    "uploadpack.allowFilter": "false",
    "uploadpack.allowAnySHA1InWant": "false",
    "uploadpack.allowReachableSHA1InWant": "false",
    "http.getanyfile": "false",
    "protocol.allow": "never",
    "gc.auto": "0",
  };
}

export class Repositories {
  readonly root: string;
  readonly #cage: GitCage;

  constructor(root: string, cage: GitCage) {
    this.root = root;
    this.#cage = cage;
  }

  path(serviceId: ServiceId): string {
    return join(this.root, `${serviceId}.git`);
  }

  /** Makes the repository on first use, whole or not at all. */
  async ensure(serviceId: ServiceId, deployBranch: string): Promise<string> {
    const path = this.path(serviceId);
    if (await exists(path)) return path;
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    const draft = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.draft`;
    await this.#git({
      args: ["init", "--quiet", "--bare", "--template=", `--initial-branch=${deployBranch}`, "--", draft],
    });
    try {
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      if (!(await exists(path))) throw error; // else somebody else made it meanwhile
    }
    return path;
  }

  /** The commit at the head of a branch, or null when there is none. */
  async head(serviceId: ServiceId, branch: string): Promise<string | null> {
    const loose = await readFile(join(this.path(serviceId), "refs", "heads", branch), "utf8").catch(() => "");
    const quick = GitCommit.safeParse(loose.trim());
    if (quick.success) return quick.data;
    const format = "--format=%(objectname)";
    const listed = await this.#git({
      args: ["--git-dir", this.path(serviceId), "for-each-ref", format, "--", `refs/heads/${branch}`],
    });
    return GitCommit.safeParse(listed.trim()).data ?? null;
  }

  /** Who pushed the branch's head, from git's reflog: http-backend writes the user id as the committer. */
  async pusher(serviceId: ServiceId, branch: string): Promise<UserId | null> {
    const log = await readFile(join(this.path(serviceId), "logs", "refs", "heads", branch), "utf8").catch(
      () => "",
    );
    const last = log.trimEnd().split("\n").at(-1) ?? "";
    const name = /^[0-9a-f]{40} [0-9a-f]{40} (\S+) </.exec(last)?.[1];
    return UserId.safeParse(name).data ?? null;
  }

  /** Services that have a repository; drafts of a killed process are removed on the way. */
  async list(): Promise<ServiceId[]> {
    const names = await readdir(this.root).catch(() => []);
    const ids: ServiceId[] = [];
    for (const name of names) {
      const id = ServiceId.safeParse(name.replace(/\.git$/, ""));
      if (id.success) ids.push(id.data);
    }
    return ids;
  }

  async removeDrafts(): Promise<void> {
    const names = await readdir(this.root).catch(() => []);
    for (const name of names)
      if (name.endsWith(".draft")) await rm(join(this.root, name), { recursive: true, force: true });
  }

  #git(run: Omit<GitRun, "timeoutMs">): Promise<string> {
    return runGit(this.#cage, { ...run, timeoutMs: COMMAND_TIMEOUT_MS });
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
