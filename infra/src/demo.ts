/**
 * `berth demo`: from a machine with nothing to a pushed app that answers. Repeatable: every run pushes a new commit
 * of the sample in `<state>/demo/hello`, so whoever changes a file there sees the change answer.
 *
 * The last line on stdout is the app's URL, and it is printed only after that URL answered with the pushed commit.
 */
import { existsSync } from "node:fs";
import { cp, mkdir } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { interruptSignal } from "./interrupt.ts";
import { ensureService } from "./pod/ensure-service.ts";
import { up } from "./pod/up.ts";
import { type Progress, seconds, withHeartbeat } from "./progress.ts";
import { gitTokenEnv, runGit } from "./run-git.ts";

const app = { org: "demo", environment: "demo", service: "hello" };
const answerDeadlineMs = 30_000;

export type DemoOptions = {
  readonly stateDir?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
};

/** @returns the URL that answered with the pushed commit */
export async function demo(options: DemoOptions): Promise<string> {
  const { progress } = options;
  const startedAtMs = performance.now();
  const pod = await up({
    settings: options.stateDir === undefined ? {} : { stateDir: options.stateDir },
    environment: options.environment,
    progress,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  progress(
    `the pod is up after ${seconds(performance.now() - startedAtMs)}; making ${app.org}/${app.environment}, service ${app.service}`,
  );
  const service = await ensureService({ apiUrl: pod.apiUrl, token: pod.adminToken }, app);
  const folder = join(pod.settings.stateDir, "demo", app.service);
  const commit = await prepareCommit(folder, progress);
  options.signal?.throwIfAborted();
  await push({ folder, gitUrl: service.gitUrl, token: pod.adminToken }, options);
  const url = new URL("/version", service.url);
  await waitForCommit(url, commit, pod.settings.edgePort);
  progress(
    `${url.href} answers 200 with commit ${commit.slice(0, 12)}; change ${folder}, commit, and run this again`,
  );
  return service.url;
}

/** A clone-like folder with the sample; a change that waits there is committed, else an empty commit is made. */
async function prepareCommit(folder: string, progress: Progress): Promise<string> {
  if (!existsSync(join(folder, ".git"))) {
    await mkdir(folder, { recursive: true });
    await cp(join(import.meta.dirname, "../../samples/node"), folder, {
      recursive: true,
      filter: (path) => !path.includes("node_modules"),
    });
    await runGit(["init", "--quiet", "--initial-branch=main"], { cwd: folder });
    progress(`copied the Node sample to ${folder}`);
  }
  await runGit(["add", "--all"], { cwd: folder });
  await runGit(["commit", "--quiet", "--allow-empty", "--message", "berth demo"], {
    cwd: folder,
    env: {
      GIT_AUTHOR_NAME: "berth demo",
      GIT_AUTHOR_EMAIL: "demo@localhost",
      GIT_COMMITTER_NAME: "berth demo",
      GIT_COMMITTER_EMAIL: "demo@localhost",
    },
  });
  return (await runGit(["rev-parse", "HEAD"], { cwd: folder })).trim();
}

type Push = { readonly folder: string; readonly gitUrl: string; readonly token: string };

async function push({ folder, gitUrl, token }: Push, { progress, signal }: DemoOptions): Promise<void> {
  progress(`git push ${gitUrl} main`);
  await withHeartbeat(progress, "pushing", (tell) =>
    runGit(["push", "--force", gitUrl, "HEAD:refs/heads/main"], {
      cwd: folder,
      env: gitTokenEnv(gitUrl, token),
      onLine: (line) => tell(line.trimEnd()),
      timeoutMs: 900_000,
      signal,
    }),
  );
}

async function waitForCommit(url: URL, commit: string, edgePort: number): Promise<void> {
  const endAtMs = performance.now() + answerDeadlineMs;
  let last = "nothing answered";
  while (performance.now() < endAtMs) {
    const answer = await get(url, edgePort).catch((error: unknown) => ({ status: 0, body: String(error) }));
    if (answer.status === 200 && answer.body.includes(commit)) return;
    last = `${answer.status} ${answer.body.slice(0, 200)}`;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(
    `${url.href} did not answer 200 with commit ${commit} within ${seconds(answerDeadlineMs)}. The last answer was: ${last}`,
  );
}

/** GET through this machine's edge, whatever the resolver makes of the pod's domain. */
function get(url: URL, edgePort: number): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: "127.0.0.1", port: edgePort, path: url.pathname, headers: { host: url.host }, timeout: 5000 },
      (reply) => {
        let body = "";
        reply.setEncoding("utf8");
        reply.on("data", (chunk: string) => {
          body += chunk;
        });
        reply.on("end", () => resolve({ status: reply.statusCode ?? 0, body }));
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("no answer within 5 s")));
    asked.on("error", reject);
    asked.end();
  });
}

if (import.meta.main) {
  const startedAtMs = performance.now();
  const progress: Progress = (line) =>
    void process.stderr.write(`[${seconds(performance.now() - startedAtMs).padStart(7)}] ${line}\n`);
  const signal = interruptSignal((what) => process.stderr.write(`berth demo: ${what}\n`));
  try {
    const url = await demo({ environment: process.env, progress, signal });
    process.stdout.write(`${url}\n`);
  } catch (error) {
    process.stderr.write(
      signal.aborted
        ? "berth demo: interrupted. Run it again to go on from here, or ./berth down to stop what runs.\n"
        : `berth demo: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exitCode = signal.aborted ? 130 : 1;
  }
}
