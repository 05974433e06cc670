/** The smallest app that has a version: a static busybox that serves one file. Its image needs no base and no network. */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gitTokenEnv, runGit } from "@berth/infra/run-git.ts";

const serve = "trap 'exit 0' TERM; /bin/busybox httpd -f -p 8080 -h /www & wait";
const fail = "echo cannot start; exit 3";

function dockerfile(command: string): string {
  return `FROM scratch
COPY busybox /bin/busybox
COPY version /www/version
USER 1000:1000
CMD ["/bin/busybox", "sh", "-c", "${command}"]
`;
}

const author = {
  GIT_AUTHOR_NAME: "Ann",
  GIT_AUTHOR_EMAIL: "ann@example.org",
  GIT_COMMITTER_NAME: "Ann",
  GIT_COMMITTER_EMAIL: "ann@example.org",
};
const pushTimeoutMs = 180_000;

export interface PushResult {
  readonly ok: boolean;
  readonly output: string;
}

export class TinyApp {
  readonly #dir: string;
  constructor(dir: string) {
    this.#dir = dir;
  }

  static async make(dir: string): Promise<TinyApp> {
    await mkdir(dir, { recursive: true });
    await copyFile("/bin/busybox", join(dir, "busybox"));
    await runGit(["init", "--quiet", "--initial-branch=main"], { cwd: dir });
    await runGit(["config", "gc.auto", "0"], { cwd: dir });
    return new TinyApp(dir);
  }

  /** @returns the new commit's id; `/version` of its deploy answers `version`, unless it is `broken`: it ends at once */
  async commit(version: string, broken = false): Promise<string> {
    await writeFile(join(this.#dir, "Dockerfile"), dockerfile(broken ? fail : serve));
    await writeFile(join(this.#dir, "version"), `${version}\n`);
    await runGit(["add", "--all"], { cwd: this.#dir });
    await runGit(["commit", "--quiet", "--message", version], { cwd: this.#dir, env: author });
    return (await runGit(["rev-parse", "HEAD"], { cwd: this.#dir })).trim();
  }

  /** Never rejects: a push may lose its server. */
  async push(gitUrl: string, token: string): Promise<PushResult> {
    const lines: string[] = [];
    const run = runGit(["push", "--force", gitUrl, "HEAD:refs/heads/main"], {
      cwd: this.#dir,
      env: gitTokenEnv(gitUrl, token),
      onLine: (line) => lines.push(line),
      timeoutMs: pushTimeoutMs,
    });
    const ok = await run.then(
      () => true,
      (error: unknown) => {
        lines.push(String(error));
        return false;
      },
    );
    return { ok, output: lines.join("\n") };
  }
}
