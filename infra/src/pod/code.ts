/**
 * Where the services' code is, and which version of it a process runs: a hash of the service, the shared package
 * and the locked dependencies. It is part of a process's environment, so `berth up` restarts exactly what changed.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const repositoryDir = fileURLToPath(new URL("../../../", import.meta.url)).replace(/\/$/, "");
export const servicesDir = join(repositoryDir, "services");

export function serviceMain(name: string): string {
  return join(servicesDir, name, "src", "main.ts");
}

export function codeVersion(name: string): string {
  const hash = createHash("sha256");
  for (const folder of [join(servicesDir, name, "src"), join(repositoryDir, "packages/shared/src")])
    hashFolder(folder, hash);
  const lock = join(repositoryDir, "pnpm-lock.yaml");
  if (existsSync(lock)) hash.update(readFileSync(lock));
  return hash.digest("hex").slice(0, 16);
}

function hashFolder(folder: string, hash: ReturnType<typeof createHash>): void {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) hashFolder(path, hash);
    else if (!entry.name.endsWith(".test.ts")) hash.update(entry.name).update(readFileSync(path));
  }
}

/** True when every user can read this file: then services need not run as root. */
export function readableByAll(path: string): boolean {
  return (statSync(path).mode & 0o004) !== 0 && closedFolderAbove(path) === null;
}

/** The first folder above `path` that not every user may enter, from the bottom up; null when all may. */
export function closedFolderAbove(path: string): string | null {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return folder;
    if (folder === "/") return null;
  }
}
