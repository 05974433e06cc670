/**
 * The floors: what a person would write who has git, docker and a shell, and nothing else.
 *
 *   by registry   push to a bare repository, docker build, docker push, then pull and run on the other engine
 *   on the spot   a post-receive hook that builds and runs where the push arrived, as Dokku does; no registry
 *
 * Both run on the same engines as Berth, with the same app. The scripts say the time after each of their steps.
 */
import { spawn } from "node:child_process";
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runGit } from "@berth/infra/run-git.ts";
import { dockerClient as docker } from "../kit/docker-client.ts";
import { type AskedApp, firstAnswer } from "../kit/first-answer.ts";
import { type Arm, containerLimits, deployTimeoutMs, type Sample, type Span } from "./arm.ts";
import { WorkTree } from "./work-tree.ts";

const containerPort = 8080;
const firstPort = 21_000;

const mark = 'mark() { echo "mark $1 $(date +%s%3N)"; }';
const checkout =
  'rm -rf "$TREE"; mkdir -p "$TREE"; git --git-dir "$BARE" archive "$COMMIT" | tar -x -C "$TREE"';
const limits = `--memory ${containerLimits.memoryBytes} --cpus ${containerLimits.cpuMillis / 1000}`;
const runApp = `run -d ${limits} --name "$NAME" -p "$PORT:${containerPort}" -e PORT=${containerPort} -e BERTH_COMMIT="$COMMIT"`;

const byRegistry = `set -eu
${mark}
git -C "$WORK" push -q "$BARE" HEAD:refs/heads/main; mark push
${checkout}; mark checkout
${docker} -H "$BUILD_ENGINE" build -q -t "$IMAGE" "$TREE" >/dev/null; mark build
${docker} -H "$BUILD_ENGINE" push -q "$IMAGE" >/dev/null; mark store
${docker} -H "$RUN_ENGINE" pull -q "$IMAGE" >/dev/null; mark pull
${docker} -H "$RUN_ENGINE" ${runApp} "$IMAGE" >/dev/null; mark run
`;

const onTheSpot = `set -eu
git -C "$WORK" push -q "$BARE" HEAD:refs/heads/main 2>&1
`;

const hook = `#!/bin/sh
set -eu
${mark}
unset GIT_DIR
mark push
${checkout}; mark checkout
${docker} -H "$BUILD_ENGINE" build -q -t "$IMAGE" "$TREE" >/dev/null; mark build
${docker} -H "$BUILD_ENGINE" ${runApp} "$IMAGE" >/dev/null; mark run
`;

export interface BareGiven {
  readonly folder: string;
  readonly buildEngine: string;
  /** `host:port` of the bare registry. */
  readonly registry: string;
  readonly run: { readonly engine: string; readonly address: string };
  /** Where ports of containers of the building engine are reached. */
  readonly machineAddress: string;
}

export async function registryArm(given: BareGiven): Promise<Arm> {
  const { engine, address } = given.run;
  return await bareArm(
    "bare script",
    byRegistry,
    null,
    given,
    engine,
    address,
    `${given.registry}/bench/app`,
  );
}

export async function spotArm(given: BareGiven): Promise<Arm> {
  const { buildEngine, machineAddress } = given;
  return await bareArm(
    "on the spot",
    onTheSpot,
    hook,
    given,
    buildEngine,
    machineAddress,
    "berth-bench/spot",
  );
}

async function bareArm(
  name: string,
  script: string,
  postReceive: string | null,
  given: BareGiven,
  engine: string,
  address: string,
  repository: string,
): Promise<Arm> {
  const folder = join(given.folder, name.replaceAll(" ", "-"));
  const tree = await WorkTree.make(join(folder, "work"));
  const bare = join(folder, "bare.git");
  await rm(bare, { recursive: true, force: true });
  await mkdir(bare, { recursive: true });
  await runGit(["init", "--quiet", "--bare", "--initial-branch=main", bare], { cwd: folder });
  if (postReceive !== null) {
    await writeFile(join(bare, "hooks/post-receive"), postReceive);
    await chmod(join(bare, "hooks/post-receive"), 0o755);
  }
  let count = 0;
  return {
    name,
    deploy: async () => {
      const commit = await tree.change();
      count += 1;
      const port = firstPort + (count % 1000) + (postReceive === null ? 0 : 1000);
      const env = {
        ...{ COMMIT: commit, WORK: tree.folder, BARE: bare, TREE: join(folder, "tree"), PORT: String(port) },
        ...{ BUILD_ENGINE: given.buildEngine, RUN_ENGINE: engine },
        IMAGE: `${repository}:${commit}`,
        NAME: `bench-${commit.slice(0, 12)}`,
      };
      try {
        return await timedRun(script, env, { address, port }, commit);
      } finally {
        await cleanUp(env);
      }
    },
  };
}

type ScriptEnv = Readonly<Record<"BUILD_ENGINE" | "RUN_ENGINE" | "IMAGE" | "NAME", string>>;

async function timedRun(script: string, env: ScriptEnv, app: AskedApp, commit: string): Promise<Sample> {
  const startedAtMs = performance.now();
  const startedWallMs = Date.now();
  const output = await sh(script, env);
  // Asked only now, as a script would: a question to an address without a container delays the answer by the
  // kernel's own retries.
  const answeredAtMs = await firstAnswer(app, commit, deployTimeoutMs, AbortSignal.timeout(deployTimeoutMs));
  const wallMs = answeredAtMs - startedAtMs;
  const spans = spansOf(output, startedWallMs, startedWallMs + wallMs);
  return { wallMs, spans, coveredShare: spans.reduce((sum, { ms }) => sum + ms, 0) / wallMs };
}

/** From `mark NAME UNIX_MS` lines: a mark ends its step. What follows the last is the app's own start. */
function spansOf(output: string, startMs: number, endMs: number): Span[] {
  const spans: Span[] = [];
  let reachedMs = startMs;
  for (const [, name, at] of output.matchAll(/mark (\S+) (\d+)/g)) {
    spans.push({ name: name as string, ms: Math.min(Number(at), endMs) - reachedMs });
    reachedMs = Math.min(Number(at), endMs);
  }
  return [...spans, { name: "answer", ms: endMs - reachedMs }];
}

function sh(script: string, env: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/sh", ["-c", script], {
      env: {
        PATH: process.env.PATH,
        HOME: env.HOME ?? "/root",
        LANG: "C.UTF-8",
        GIT_CONFIG_NOSYSTEM: "1",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: deployTimeoutMs,
      killSignal: "SIGKILL",
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
      });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`the bare script ended with ${String(code)}:\n${output.slice(-2000)}`));
    });
  });
}

/** Not part of the time: the container and its image go, so that every round finds the same engines. */
async function cleanUp(env: ScriptEnv): Promise<void> {
  await sh(
    `${docker} -H "$RUN_ENGINE" rm -f "$NAME" >/dev/null 2>&1 || true
     ${docker} -H "$RUN_ENGINE" rmi "$IMAGE" >/dev/null 2>&1 || true
     ${docker} -H "$BUILD_ENGINE" rmi "$IMAGE" >/dev/null 2>&1 || true`,
    env,
  );
}
