/**
 * Dockerfile builds, by BuildKit, through the docker client as a child process.
 *
 * The engine's HTTP API offers BuildKit only together with a session protocol that no Node library speaks; the
 * client does. It gets an argument array (no shell), an empty configuration folder and nothing of this process's
 * environment. Ending the client ends the build.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { BuildStopped } from "../core/build-stopped.ts";
import { CA_SECRET_ID } from "../core/check-dockerfile.ts";
import { readBuildkitFailure } from "../core/read-buildkit-output.ts";
import { type CgroupLimits, countMemoryHits, limitCgroup, removeCgroup } from "./build-cgroup.ts";
import type { BuildOutput } from "./build-output.ts";

export interface DockerfileBuildInput {
  readonly buildId: string;
  readonly builderId: string;
  /** Folder that the build sees, with the Dockerfile at its top. */
  readonly contextDir: string;
  /** The Dockerfile's name. */
  readonly dockerfile: string;
  /** Stage that the image is of; null: the last one. */
  readonly target: string | null;
  readonly scratchDir: string;
  readonly reference: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly caFile: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly output: BuildOutput;
  readonly signal: AbortSignal;
}

export interface BuildkitGiven {
  readonly socketPath: string;
  /** Major version of the engine: from 23 on it takes a control group per build. */
  readonly engineMajor: number;
  /** Where older engines run all steps, for example `/docker/buildkit`. */
  readonly sharedCgroup: string;
  readonly limits: CgroupLimits;
  readonly onUnlimited: (group: string) => void;
}

export class Buildkit {
  readonly #given: BuildkitGiven;
  /** Builds on an engine with one shared group run one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(given: BuildkitGiven) {
    this.#given = given;
  }

  /** @throws BuildStopped with the reason when the build does not end well */
  async build(input: DockerfileBuildInput): Promise<void> {
    if (this.#given.engineMajor >= 23)
      return await this.#buildInGroup(input, `/berth-build-${input.buildId}`, true);
    const before = this.#turn;
    const mine = Promise.withResolvers<void>();
    this.#turn = mine.promise;
    try {
      await waitFor(before, input.signal);
      await this.#buildInGroup(input, this.#given.sharedCgroup, false);
    } finally {
      void before.then(mine.resolve, mine.resolve);
    }
  }

  async #buildInGroup(input: DockerfileBuildInput, group: string, own: boolean): Promise<void> {
    if (!(await limitCgroup(group, this.#given.limits))) this.#given.onUnlimited(group);
    const hitsBefore = await countMemoryHits(group);
    try {
      const exitCode = await this.#runClient(input, own ? group : null);
      if (exitCode === 0) return;
      const failure = readBuildkitFailure(input.output.lastLines(), exitCode);
      const killed =
        failure.code === "build-exit" &&
        (failure.exitCode === 137 || (await countMemoryHits(group)) > hitsBefore + 100);
      if (killed && (await countMemoryHits(group)) > hitsBefore) {
        throw new BuildStopped({ code: "out-of-memory", memoryBytes: this.#given.limits.memoryBytes });
      }
      throw new BuildStopped(failure);
    } finally {
      if (own) await removeCgroup(group);
    }
  }

  async #runClient(input: DockerfileBuildInput, cgroup: string | null): Promise<number> {
    const configDir = join(input.scratchDir, "docker-config");
    await mkdir(configDir, { recursive: true, mode: 0o700 });
    input.signal.throwIfAborted();
    const client = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";
    const child = spawn(client, buildArguments(input, cgroup), {
      cwd: input.contextDir,
      env: {
        PATH: "/usr/bin:/bin:/usr/local/bin",
        HOME: configDir,
        DOCKER_CONFIG: configDir,
        DOCKER_HOST: `unix://${this.#given.socketPath}`,
        DOCKER_BUILDKIT: "1",
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.on("data", (chunk: Buffer) => input.output.write(chunk));
    child.stderr.on("data", (chunk: Buffer) => input.output.write(chunk));
    const onAbort = (): void => {
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), 5000).unref();
    };
    input.signal.addEventListener("abort", onAbort, { once: true });
    try {
      const code = await new Promise<number>((resolve, reject) => {
        child.once("error", reject);
        child.once("close", (exitCode) => resolve(exitCode ?? 1));
      });
      input.signal.throwIfAborted();
      return code;
    } finally {
      input.signal.removeEventListener("abort", onAbort);
      input.output.end();
    }
  }
}

function buildArguments(input: DockerfileBuildInput, cgroup: string | null): string[] {
  const labels = { ...input.labels, "berth.build": input.buildId, "berth.builder": input.builderId };
  return [
    ...["build", "--progress=plain", "--file", input.dockerfile, "--tag", input.reference],
    ...(input.target === null ? [] : ["--target", input.target]),
    ...Object.entries(labels).flatMap(([name, value]) => ["--label", `${name}=${value}`]),
    ...Object.entries(input.buildArgs).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]),
    ...(input.caFile === null ? [] : ["--secret", `id=${CA_SECRET_ID},src=${input.caFile}`]),
    ...(cgroup === null ? [] : ["--cgroup-parent", cgroup]),
    ".",
  ];
}

async function waitFor(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
  aborted.catch(() => undefined);
  await Promise.race([work, aborted]);
}
