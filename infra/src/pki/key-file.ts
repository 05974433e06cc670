/**
 * Files that hold keys: 0600, written whole (never half, never world-readable for a moment), and never written
 * over when present, because a lost key cannot be made again.
 */
import { randomBytes } from "node:crypto";
import { chown, link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { UserIds } from "../supervisor/user.ts";

/** Reads the file, or makes it. Two callers at once get the same content: the first link wins. */
export async function readOrCreate(
  path: string,
  make: () => string | Promise<string>,
  mode = 0o600,
): Promise<string> {
  const present = await readIfThere(path);
  if (present !== null) return present;
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  const temporary = await writeTemporary(path, await make(), mode);
  try {
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  return await readFile(path, "utf8");
}

/** Replaces the file at once. Only for what may be renewed: leaf certificates, credentials with new permissions. */
export async function replaceFile(
  path: string,
  content: string,
  owner?: UserIds,
  mode = 0o600,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  const temporary = await writeTemporary(path, content, mode);
  if (owner !== undefined && process.getuid?.() === 0) await chown(temporary, owner.uid, owner.gid);
  await rename(temporary, path);
}

export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** A password of 192 random bits that needs no quoting in a URL. */
export function newPassword(): string {
  return randomBytes(24).toString("base64url");
}

async function writeTemporary(path: string, content: string, mode = 0o600): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  await writeFile(temporary, content, { mode, flag: "wx" });
  return temporary;
}
