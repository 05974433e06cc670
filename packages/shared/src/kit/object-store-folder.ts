/**
 * Objects as files of one folder. A file is written under `.parts`, which no key can name, synced, and then renamed
 * to its place: what is at a key is whole, after a crash and after a power cut as well.
 */
import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  checkKey,
  isOwnErrorOf,
  ObjectMissing,
  type ObjectStore,
  ObjectStoreFailed,
} from "./object-store-types.ts";

/** A put that was cut by a crash leaves its file; after this time nobody can still be writing it. */
const PART_KEPT_MS = 24 * 3_600_000;

export async function folderStore(root: string): Promise<ObjectStore> {
  const parts = join(root, ".parts");
  await removeOldParts(parts);
  const pathOf = (key: string): string => join(root, checkKey(key));
  return {
    async put(key, content) {
      const target = pathOf(key);
      const part = join(parts, randomBytes(12).toString("hex"));
      try {
        await mkdir(parts, { recursive: true, mode: 0o700 });
        await mkdir(dirname(target), { recursive: true, mode: 0o700 });
        await pipeline(
          Buffer.isBuffer(content) ? Readable.from([content]) : content,
          createWriteStream(part, { mode: 0o600, flush: true }),
        );
        await rename(part, target);
        await syncFolder(dirname(target));
      } catch (cause) {
        if (!Buffer.isBuffer(content)) content.destroy();
        if (isOwnErrorOf(content, cause)) throw cause;
        throw failure(root, "put", key, cause);
      } finally {
        await rm(part, { force: true });
      }
    },
    async get(key) {
      const file = await open(pathOf(key), "r").catch((cause: unknown) => {
        throw isAbsent(cause) ? missing(key, cause) : failure(root, "get", key, cause);
      });
      if ((await file.stat()).isFile()) return file.createReadStream();
      await file.close();
      throw missing(key, undefined);
    },
    async exists(key) {
      try {
        return (await stat(pathOf(key))).isFile();
      } catch (cause) {
        if (isAbsent(cause)) return false;
        throw failure(root, "exists", key, cause);
      }
    },
    async delete(key) {
      const target = pathOf(key);
      try {
        // A folder is no object; its objects have keys of their own.
        if ((await stat(target)).isFile()) await rm(target, { force: true });
      } catch (cause) {
        if (!isAbsent(cause)) throw failure(root, "delete", key, cause);
      }
    },
  };
}

async function removeOldParts(parts: string): Promise<void> {
  for (const name of await readdir(parts).catch(() => [])) {
    const path = join(parts, name);
    const ageMs = await stat(path)
      .then(({ mtimeMs }) => Date.now() - mtimeMs)
      .catch(() => 0);
    // One that only reads may lack the right; the writer starts too.
    if (ageMs > PART_KEPT_MS) await rm(path, { force: true }).catch(() => undefined);
  }
}

/** A rename is kept over a power cut only once its folder is synced. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isAbsent(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ENOTDIR";
}

function missing(key: string, cause: unknown): ObjectMissing {
  return new ObjectMissing(`the object store has no ${key}`, { cause });
}

function failure(root: string, what: string, key: string, cause: unknown): ObjectStoreFailed {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ObjectStoreFailed(`object store in folder ${root}: ${what} ${key} failed: ${why}`, { cause });
}
