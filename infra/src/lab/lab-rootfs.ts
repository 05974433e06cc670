/**
 * The root file system that all lab hosts stand on: Debian with a Docker Engine, made once and then only read.
 *
 * It is cached by a hash of all that went into it, and appears under its name only when it is whole, so two labs
 * that make it at once do no harm. Packages come from the mirror that the machine's own apt uses.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { activatorUser } from "../host/activator-user.ts";
import { debianMirror } from "../install/debian-packages.ts";
import { command } from "./command.ts";

const suite = "trixie";
const packages = [
  "busybox-static",
  "ca-certificates",
  "curl",
  "dnsmasq-base",
  "docker-cli",
  "docker.io",
  "haproxy",
  "iproute2",
  "iptables",
  "iputils-ping",
  "nftables",
  "procps",
  "tini",
  "wireguard-tools",
];
/** What nobody reads inside a lab host. A third of the size. */
const excludedPaths = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];
/** The activator's user, known from outside: folders of a host are made before it runs. */
export const activatorIds = { uid: 890, gid: 890 } as const;
const makeUser = `chroot "$1" useradd --system --uid ${activatorIds.uid} --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ${activatorUser}`;
/** Change it when the way of making changes and the packages do not. */
const recipeVersion = 1;
const makeTimeoutMs = 600_000;

export function rootfsPath(cacheDir: string): string {
  const recipe = JSON.stringify([recipeVersion, suite, process.arch, packages, excludedPaths, makeUser]);
  const hash = createHash("sha256").update(recipe).digest("hex").slice(0, 12);
  return join(cacheDir, `lab-rootfs-${hash}`);
}

/** @returns the folder; makes it when it is not there (about 20 s and 350 MB). */
export async function ensureRootfs(cacheDir: string, say: (line: string) => void): Promise<string> {
  const path = rootfsPath(cacheDir);
  if (existsSync(path)) return path;
  await mkdir(cacheDir, { recursive: true, mode: 0o755 });
  await deleteHalfMade(cacheDir);

  say(
    `making the hosts' root file system: Debian ${suite} with ${packages.length} packages (once, about 20 s)`,
  );
  const startedAt = Date.now();
  const half = `${path}.${process.pid}.half`;
  const mirror = await debianMirror();
  const signedBy = mirror.signedBy === null ? "" : `[signed-by=${mirror.signedBy}] `;
  await command(
    [
      "mmdebstrap",
      "--quiet",
      "--mode=root",
      "--variant=minbase",
      "--dpkgopt=force-unsafe-io",
      `--include=${packages.join(",")}`,
      '--aptopt=Acquire::Languages "none"',
      ...excludedPaths.map((excluded) => `--dpkgopt=path-exclude=${excluded}`),
      `--customize-hook=${makeUser}`,
      suite,
      half,
      `deb ${signedBy}${mirror.uri} ${suite} main`,
    ],
    { timeoutMs: makeTimeoutMs },
  );
  await rename(half, path).catch(async (error: NodeJS.ErrnoException) => {
    await rm(half, { recursive: true, force: true });
    // Another lab was quicker: its root file system is the same.
    if (!existsSync(path)) throw error;
  });
  say(`made ${path} in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  return path;
}

/** What makers left that ended in the middle. The maker's pid is in the name. */
async function deleteHalfMade(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    const maker = /^lab-rootfs-[0-9a-f]+\.([0-9]+)\.half$/.exec(name)?.[1];
    if (maker !== undefined && !existsSync(`/proc/${maker}`))
      await rm(join(cacheDir, name), { recursive: true, force: true });
  }
}
