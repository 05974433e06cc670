/**
 * The four samples built, stored and run on a real engine with a real registry, and every wrong input with its
 * message. Needs root, docker.io, docker-registry, mmdebstrap and the npm registry; it starts all else itself.
 */
import { execFile } from "node:child_process";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { silentLog } from "@berth/shared/kit/log.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeFailure } from "../../services/builder/src/core/build-failure.ts";
import { BuildStopped } from "../../services/builder/src/core/build-stopped.ts";
import type { BuildLimits, BuildResult } from "../../services/builder/src/outbound/build-run.ts";
import { Buildkit } from "../../services/builder/src/outbound/buildkit.ts";
import { BuildEngine } from "../../services/builder/src/outbound/engine.ts";
import { STACK_REPOSITORY } from "../../services/builder/src/outbound/registry.ts";
import { runBuild } from "../../services/builder/src/outbound/run-build.ts";
import { StackLayer } from "../../services/builder/src/outbound/stack-layer.ts";
import { until } from "../git/until.ts";
import { type BuildLab, startBuildLab } from "./build-lab.ts";
import { cpuWeightsOf } from "./cpu-weights.ts";

const execute = promisify(execFile);
const MIB = 1024 ** 2;
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const CA_FILE = process.env.NODE_EXTRA_CA_CERTS;
const engineLimits = { memoryBytes: 1024 * MIB, cpus: 2, pids: 512 };
const limits: BuildLimits = {
  timeoutMs: 120_000,
  memoryBytes: engineLimits.memoryBytes,
  sourceBytes: 100 * MIB,
  sourceEntries: 5000,
  lineBytes: 16_000,
  outputBytes: 4 * MIB,
  cacheBytes: 512 * MIB,
};

let lab: BuildLab;
let engine: BuildEngine;
let buildkit: Buildkit;
let stackLayer: StackLayer;
let buildsCount = 0;

beforeAll(async () => {
  lab = await startBuildLab();
  const { socketPath } = lab;
  engine = new BuildEngine({
    socketPath,
    builderId: "test",
    limits: { ...engineLimits, maxAppBytes: 300 * MIB },
  });
  const engineMajor = Number.parseInt(await engine.version(), 10);
  const onUnlimited = (group: string): never => {
    throw new Error(`the control group ${group} could not be limited`);
  };
  buildkit = new Buildkit({
    socketPath,
    engineMajor,
    sharedCgroup: lab.cgroup,
    limits: engineLimits,
    onUnlimited,
  });
  stackLayer = new StackLayer({
    engine,
    registry: lab.registry,
    registryUrl: `http://${lab.registry}`,
    stackImage: lab.stack.name,
    log: silentLog,
    mintStackToken: async () => lab.token(STACK_REPOSITORY, ["pull", "push"]),
  });
}, 300_000);

afterAll(async () => {
  await lab?.close();
}, 60_000);

interface Built {
  readonly result: BuildResult;
  readonly output: string;
  readonly repository: string;
  readonly tookMs: number;
}

/** Builds a folder as if it had been pushed. */
async function build(
  folder: string,
  given: { limits?: Partial<BuildLimits>; signal?: AbortSignal } = {},
): Promise<Built> {
  buildsCount += 1;
  const serviceId = `svc_${String(buildsCount)}`;
  const repository = `org_1/${serviceId}`;
  const bundle = join(lab.dir, `${serviceId}.tar.zst`);
  await execute("sh", ["-c", 'tar -C "$1" -cf - . | zstd -q -o "$2"', "sh", folder, bundle]);
  let output = "";
  const startedAtMs = performance.now();
  const result = await runBuild(
    {
      engine,
      buildkit,
      builderId: "test",
      workDir: join(lab.dir, "work"),
      registry: lab.registry,
      stackImage: lab.stack.name,
      limits: { ...limits, ...given.limits },
      extraCaFile: CA_FILE !== undefined && existsSync(CA_FILE) ? CA_FILE : null,
      npmRegistry: null,
      pypiIndex: "none",
      prepareRepository: (target, token, signal) => stackLayer.prepare(target, token, signal),
      mintPushToken: async (_id, target) => lab.token(target, ["pull", "push"], STACK_REPOSITORY),
    },
    {
      buildId: `bld_${String(buildsCount)}`,
      serviceId,
      commit: COMMIT,
      repository,
      settings: { kind: "auto", buildpackUrl: null },
      openBundle: async () => createReadStream(bundle),
      signal: given.signal ?? new AbortController().signal,
      onLines: (lines) => {
        output += `${lines.join("\n")}\n`;
      },
      onStep: () => undefined,
      onStage: () => undefined,
    },
  );
  return { result, output, repository, tookMs: performance.now() - startedAtMs };
}

async function folderWith(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(lab.dir, "app-"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
}

/** Runs an image as an agent would, and answers its pages. */
async function visit(
  image: string,
  readOnly: boolean,
): Promise<{ page: string; version: { commit: string } }> {
  const profile = [
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp",
    ...(readOnly ? ["--read-only"] : []),
  ];
  const id = await lab.docker(
    "run",
    "-d",
    ...profile,
    "-e",
    "PORT=8080",
    "-e",
    `BERTH_COMMIT=${COMMIT}`,
    image,
  );
  try {
    const address = await lab.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", id);
    const get = (path: string) =>
      lab.inside("curl", "-sf", "--max-time", "5", `http://${address}:8080${path}`);
    const version = await until("the app answers", async () => await get("/version").catch(() => undefined));
    const page = await get("/");
    await lab.docker("stop", "-t", "30", id);
    const exitCode = await lab.docker("inspect", "-f", "{{.State.ExitCode}}", id);
    expect(exitCode, "SIGTERM reaches the app, nobody had to kill it").not.toBe("137");
    return { page, version: JSON.parse(version) as { commit: string } };
  } finally {
    await lab.docker("rm", "-f", id);
  }
}

async function expectNothingLeft(): Promise<void> {
  expect(await lab.docker("ps", "-aq")).toBe("");
  expect(await lab.docker("images", "-q", "--filter", "label=berth.build")).toBe("");
  expect(await readdir(join(lab.dir, "work"))).toEqual([]);
}

describe("the stack", () => {
  it("is stored once and found again", async () => {
    expect(await stackLayer.ensureStored()).toBe(true);
    expect(await stackLayer.ensureStored()).toBe(true);
  }, 120_000);
});

describe("samples", () => {
  it.each([
    ["node", "buildpack", "Hello from Node"],
    ["python", "buildpack", "Hello from Python"],
    ["static", "buildpack", "Hello from static files"],
    ["dockerfile", "dockerfile", "Hello from a Dockerfile"],
  ])("%s is built, stored and answers with its commit", async (sample, kind, title) => {
    const built = await build(join(import.meta.dirname, "../../samples", sample));
    if (built.result.outcome === "failed")
      throw new Error(`${describeFailure(built.result.failure)}\n${built.output}`);
    const { image } = built.result;
    expect(image).toMatchObject({ kind, port: 8080, runsAsRoot: false });
    await engine.removeOldImages(0);
    await expectNothingLeft();
    const reference = `${lab.registry}/${built.repository}@${image.digest}`;
    await pullWith(reference, lab.token(built.repository, ["pull"]));
    const { page, version } = await visit(reference, image.rootFilesystem === "read-only");
    await lab.docker("rmi", reference);
    expect(page).toContain(title);
    expect(version.commit).toBe(COMMIT);
    process.stdout.write(`sample ${sample}: ${(built.tookMs / 1000).toFixed(1)} s\n`);
  });
});

/** The client cannot be handed a bare token, the engine's API can. */
async function pullWith(reference: string, registryToken: string): Promise<void> {
  const auth = Buffer.from(JSON.stringify({ registrytoken: registryToken })).toString("base64");
  const url = `http://engine/images/create?fromImage=${encodeURIComponent(reference)}`;
  const header = `X-Registry-Auth: ${auth}`;
  const { stdout } = await execute("curl", [
    "-s",
    "--unix-socket",
    lab.socketPath,
    "-X",
    "POST",
    "-H",
    header,
    url,
  ]);
  expect(stdout).toContain("Downloaded newer image");
}

describe("wrong input gets a message that says what, why and what next", () => {
  const bigLoop = 'node -e "const a = []; for (;;) a.push(Buffer.alloc(1e7, 1))"';
  it.each<[string, Record<string, string>, Partial<BuildLimits>, string, RegExp]>([
    ["no buildpack", { "main.c": "int x;" }, {}, "no-buildpack", /found main\.c.*\n.*package\.json/s],
    [
      "a broken Dockerfile",
      { Dockerfile: "FROM berth/stack:bookworm\nRUNN x\n" },
      {},
      "bad-dockerfile",
      /Dockerfile:2 .*RUNN/,
    ],
    [
      "a forbidden line",
      { Dockerfile: "# syntax=x\nFROM berth/stack:bookworm\n" },
      {},
      "bad-dockerfile",
      /Dockerfile:1 .*syntax/,
    ],
    [
      "an unknown base image",
      { Dockerfile: "FROM no.such.registry.invalid/a/b:1\n" },
      {},
      "bad-dockerfile",
      /no\.such\.registry\.invalid\/a\/b/,
    ],
    [
      "a failing RUN",
      { Dockerfile: "FROM berth/stack:bookworm\nRUN exit 7\n" },
      {},
      "build-exit",
      /RUN exit 7.*exit code 7/,
    ],
    [
      "a failing build script",
      { "package.json": '{"name":"x","scripts":{"start":"x","build":"exit 3"}}' },
      {},
      "build-exit",
      /Node\.js/,
    ],
    [
      "a Dockerfile that hangs",
      { Dockerfile: "FROM berth/stack:bookworm\nRUN sleep 900\n" },
      { timeoutMs: 6000 },
      "timeout",
      /6 seconds/,
    ],
    [
      "a buildpack that hangs",
      { "package.json": '{"name":"x","scripts":{"start":"x","build":"sleep 900"}}' },
      { timeoutMs: 6000 },
      "timeout",
      /6 seconds/,
    ],
    [
      "output without end",
      { "package.json": '{"name":"x","scripts":{"start":"x","build":"yes"}}' },
      {},
      "too-much-output",
      /4 MiB/,
    ],
    [
      "output without end in a Dockerfile",
      { Dockerfile: "FROM berth/stack:bookworm\nRUN yes\n" },
      { timeoutMs: 6000 },
      "timeout",
      /6 seconds/,
    ],
    [
      "too much memory",
      { "package.json": JSON.stringify({ name: "x", scripts: { start: "x", build: bigLoop } }) },
      {},
      "out-of-memory",
      /1 GiB/,
    ],
    [
      "too much memory in a Dockerfile",
      { Dockerfile: `FROM berth/stack:bookworm\nRUN ${bigLoop}\n` },
      {},
      "out-of-memory",
      /1 GiB/,
    ],
    [
      "a Procfile without web",
      { "package.json": "{}", Procfile: "worker: x\n" },
      {},
      "no-web",
      /has worker, but no `web`/,
    ],
    ["no start command at all", { "package.json": '{"name":"x"}' }, {}, "no-web", /no Procfile/],
    [
      "a broken Procfile",
      { "package.json": "{}", Procfile: "\nweb node\n" },
      {},
      "bad-procfile",
      /Procfile:2 .*no colon/,
    ],
    [
      "a private buildpack",
      { ".buildpacks": "https://localhost.localdomain/x.git\n", a: "" },
      {},
      "bad-buildpack",
      /public Internet|no address/,
    ],
    [
      "too much source",
      { "package.json": "{}", big: "x".repeat(3 * MIB) },
      { sourceBytes: MIB },
      "source-too-large",
      /1 MiB/,
    ],
  ])("%s", async (_what, files, more, code, message) => {
    const { result } = await build(await folderWith(files), { limits: more });
    expect(result).toMatchObject({ outcome: "failed", failure: { code } });
    if (result.outcome === "failed") expect(describeFailure(result.failure)).toMatch(message);
    await expectNothingLeft();
  });

  it("heroku.yml names Dockerfile, stage, arguments and processes; what it names must be a file", async () => {
    const heroku =
      "build: {docker: {web: {dockerfile: docker/app.Dockerfile, target: app}}, config: {LEVEL: 3}}";
    const dockerfile = [
      ...["FROM berth/stack:bookworm AS app", "ARG LEVEL", 'RUN test "$LEVEL" = 3', "COPY beside ./"],
      ...['CMD ["sleep", "60"]', "FROM app", "RUN exit 9", ""],
    ];
    const files = {
      ...{
        "heroku.yml": `${heroku}\nrun: {worker: ./work}\nrelease: {command: [./migrate]}\n`,
        Procfile: "web: a",
      },
      ...{ "docker/app.Dockerfile": dockerfile.join("\n"), "docker/beside": "in the context" },
    };
    const folder = await folderWith(files);
    const { result, output } = await build(folder);
    if (result.outcome === "failed") throw new Error(`${describeFailure(result.failure)}\n${output}`);
    expect(result.image.processes).toEqual({ web: "", worker: "./work", release: "./migrate" });
    await rm(join(folder, "docker/app.Dockerfile"));
    await symlink("/etc/passwd", join(folder, "docker/app.Dockerfile"));
    const linked = (await build(folder)).result;
    expect(linked.outcome === "failed" && describeFailure(linked.failure)).toContain(
      "no file docker/app.Dockerfile",
    );
    await engine.removeOldImages(0);
    await expectNothingLeft();
  });

  it.each<[string, Record<string, string>]>([
    ["a Dockerfile", { Dockerfile: "FROM berth/stack:bookworm\nRUN sleep 900\n" }],
    ["buildpacks", { "package.json": '{"name":"x","scripts":{"start":"x","build":"sleep 900"}}' }],
  ])("what %s runs weighs less than an app, and a cancel stops it", async (_what, files) => {
    const stopper = new AbortController();
    const building = build(await folderWith(files), { signal: stopper.signal });
    const weights = await until(
      "the build runs its command",
      () => cpuWeightsOf(lab.cgroup, "sleep", "900"),
      60_000,
    ).finally(() => stopper.abort(new BuildStopped({ code: "cancelled" })));
    expect(Math.min(...weights), `weights of its control groups: ${weights.join(", ")}`).toBeLessThan(13);
    expect((await building).result).toMatchObject({ outcome: "failed", failure: { code: "cancelled" } });
    await expectNothingLeft();
  });

  it("a token for another repository does not push", async () => {
    const reference = `${lab.registry}/org_1/svc_other:x`;
    await engine.tagImage(lab.stack.name, reference);
    const token = lab.token("org_1/svc_mine", ["pull", "push"]);
    const pushed = engine.push(reference, token, AbortSignal.timeout(60_000), () => undefined);
    await expect(pushed).rejects.toThrow(/could not be stored in the registry/);
    await engine.untagImage(reference);
  });
});
