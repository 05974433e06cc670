/** Folders and configuration files of the parts, owned by the user that a part runs as. */
import { createHash } from "node:crypto";
import { chmod, chown, mkdir } from "node:fs/promises";
import { replaceFile } from "../pki/key-file.ts";
import type { UserIds } from "../supervisor/user.ts";

/** System binaries only: what lies in /usr/local is the operator's own and may be of another version. */
export const systemPath = "/usr/sbin:/usr/bin:/sbin:/bin";

export async function ensureFolder(path: string, mode: number, owner?: UserIds): Promise<void> {
  await mkdir(path, { recursive: true, mode });
  await chmod(path, mode);
  if (owner !== undefined && process.getuid?.() === 0) await chown(path, owner.uid, owner.gid);
}

/**
 * Writes a configuration file that only `owner` reads.
 * @returns a hash of it for the process's environment, so that the supervisor restarts it when the file changed.
 */
export async function writeConfig(path: string, content: string, owner?: UserIds): Promise<string> {
  await replaceFile(path, content, owner);
  return contentHash(content);
}

export function contentHash(...contents: readonly string[]): string {
  return createHash("sha256").update(contents.join("\0")).digest("hex").slice(0, 16);
}
