/** Builds a pushed tree from its Dockerfile. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { lstat, mkdir, open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { BuildStopped } from "../core/build-stopped.ts";
import { checkDockerfile, MAX_DOCKERFILE_BYTES } from "../core/check-dockerfile.ts";
import { chooseDockerfileProcesses } from "../core/choose-processes.ts";
import { imageProfile } from "../core/image-profile.ts";
import { showBuildkitLine } from "../core/read-buildkit-output.ts";
import { checkConfigured, readHerokuBuild, type SourceConfig } from "./app-config.ts";
import {
  appLabels,
  type BuildOrder,
  type LocalImage,
  newOutput,
  type Run,
  type RunBuildGiven,
  takeProcesses,
} from "./build-run.ts";
import type { Source } from "./source-archive.ts";

const execFileAsync = promisify(execFile);

export async function buildDockerfile(run: Run, source: Source, config: SourceConfig): Promise<LocalImage> {
  const { given, order } = run;
  const heroku = readHerokuBuild(source, order.onStep);
  const dockerfile = heroku?.dockerfile ?? "Dockerfile";
  const rootDir = await unpack(run, source);
  const args = await readDockerfile(rootDir, dockerfile);
  // Read before the build, so that a broken Procfile or berth.yaml does not cost its minutes.
  const commands = config.wishes?.commands ?? {};
  const named = heroku?.commands ?? source.procfile;
  checkConfigured(config, takeProcesses(chooseDockerfileProcesses(named, true, commands)));
  order.onStep(`Building from ${dockerfile === "Dockerfile" ? "the Dockerfile" : dockerfile}`);
  await given.buildkit.build({
    buildId: order.buildId,
    builderId: given.builderId,
    contextDir: join(rootDir, dirname(dockerfile)),
    dockerfile: basename(dockerfile),
    target: heroku?.target ?? null,
    scratchDir: run.dir,
    reference: run.reference,
    buildArgs: { ...heroku?.buildArgs, ...dockerfileArgs(given, order, args) },
    caFile: given.extraCaFile,
    labels: appLabels(order),
    output: newOutput(run, showBuildkitLine),
    signal: run.signal,
  });
  const facts = await given.engine.imageFacts(run.reference);
  return {
    kind: "dockerfile",
    sizeBytes: facts.sizeBytes,
    processes: takeProcesses(chooseDockerfileProcesses(named, facts.hasCommand, commands)),
    ...imageProfile(facts),
  };
}

async function unpack(run: Run, source: Source): Promise<string> {
  const rootDir = join(run.dir, "context");
  await mkdir(rootDir);
  const untar = ["-xf", source.tarPath, "-C", rootDir, "--no-same-owner", "--no-same-permissions"];
  await execFileAsync("tar", untar, { signal: run.signal });
  return rootDir;
}

/**
 * No folder on the way is a symbolic link: the bundle's reader refuses what lies below one. The file itself may be none.
 * @returns the names of its arguments
 * @throws BuildStopped `bad-dockerfile`
 */
async function readDockerfile(rootDir: string, dockerfile: string): Promise<ReadonlySet<string>> {
  const path = join(rootDir, dockerfile);
  const found = await lstat(path).catch(() => null);
  if (found?.isFile() !== true)
    throw new BuildStopped({
      code: "bad-dockerfile",
      problems: [{ line: 0, text: `the repository has no file ${dockerfile}` }],
    });
  // One that is too large is refused by its text's length; a byte more than that is enough to see it.
  const { args, problems } = checkDockerfile(await readStart(path, MAX_DOCKERFILE_BYTES + 1));
  if (problems.length > 0) throw new BuildStopped({ code: "bad-dockerfile", problems });
  return args;
}

async function readStart(path: string, lengthBytes: number): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(lengthBytes), position: 0 });
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Only arguments that the Dockerfile declares: BuildKit complains about others. */
function dockerfileArgs(
  given: RunBuildGiven,
  order: BuildOrder,
  declared: ReadonlySet<string>,
): Record<string, string> {
  const known: Record<string, string | null> = {
    SOURCE_VERSION: order.commit,
    NPM_CONFIG_REGISTRY: given.npmRegistry,
    PIP_INDEX_URL: given.pypiIndex === "none" ? null : given.pypiIndex,
    PIP_NO_INDEX: given.pypiIndex === "none" ? "1" : null,
  };
  const args: Record<string, string> = {};
  for (const [name, value] of Object.entries(known))
    if (value !== null && declared.has(name)) args[name] = value;
  return args;
}
