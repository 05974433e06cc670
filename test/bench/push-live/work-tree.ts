/** The pushed app: the Dockerfile sample in a repository of its own, with a change of code per commit. */
import { randomBytes } from "node:crypto";
import { appendFile, cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { runGit } from "@berth/infra/run-git.ts";

const sample = join(import.meta.dirname, "../../../samples/dockerfile");
const author = {
  GIT_AUTHOR_NAME: "berth bench",
  GIT_AUTHOR_EMAIL: "bench@localhost",
  GIT_COMMITTER_NAME: "berth bench",
  GIT_COMMITTER_EMAIL: "bench@localhost",
};

export class WorkTree {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(folder: string): Promise<WorkTree> {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await cp(sample, folder, { recursive: true });
    await runGit(["init", "--quiet", "--initial-branch=main"], { cwd: folder });
    return new WorkTree(folder);
  }

  /** A line that was never there before: no cache knows the layer that it ends in. @returns the commit */
  async change(): Promise<string> {
    const cwd = this.folder;
    await appendFile(join(cwd, "server.js"), `// ${randomBytes(16).toString("hex")}\n`);
    await runGit(["add", "--all"], { cwd });
    await runGit(["commit", "--quiet", "--message", "A change"], { cwd, env: author });
    return (await runGit(["rev-parse", "HEAD"], { cwd })).trim();
  }
}
