/** Builds a pushed tree from its Dockerfile. */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { BuildStopped } from "../core/build-stopped.ts";
import { checkDockerfile } from "../core/check-dockerfile.ts";
import { chooseDockerfileProcesses } from "../core/choose-processes.ts";
import { imageProfile } from "../core/image-profile.ts";
import { showBuildkitLine } from "../core/read-buildkit-output.ts";
import { checkConfigured, type SourceConfig } from "./app-config.ts";
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
  const report = checkDockerfile(source.dockerfile ?? "");
  if (report.problems.length > 0)
    throw new BuildStopped({ code: "bad-dockerfile", problems: report.problems });
  // Read before the build, so that a broken Procfile or berth.yaml does not cost its minutes.
  const commands = config.wishes?.commands ?? {};
  checkConfigured(config, takeProcesses(chooseDockerfileProcesses(source.procfile, true, commands)));
  const contextDir = join(run.dir, "context");
  await mkdir(contextDir);
  const untar = ["-xf", source.tarPath, "-C", contextDir, "--no-same-owner", "--no-same-permissions"];
  await execFileAsync("tar", untar, { signal: run.signal });
  order.onStep("Building from the Dockerfile");
  await given.buildkit.build({
    buildId: order.buildId,
    builderId: given.builderId,
    contextDir,
    scratchDir: run.dir,
    reference: run.reference,
    buildArgs: dockerfileArgs(given, order, report.args),
    caFile: given.extraCaFile,
    labels: appLabels(order),
    output: newOutput(run, showBuildkitLine),
    signal: run.signal,
  });
  const facts = await given.engine.imageFacts(run.reference);
  return {
    kind: "dockerfile",
    sizeBytes: facts.sizeBytes,
    processes: takeProcesses(chooseDockerfileProcesses(source.procfile, facts.hasCommand, commands)),
    ...imageProfile(facts),
  };
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
