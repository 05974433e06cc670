/**
 * The object store: a folder (one machine) or S3. Keys are `/`-separated names of our own making.
 * A put is all or nothing: a reader never sees half an object.
 */
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { access, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export interface ObjectStore {
  put(key: string, content: Readable | Buffer): Promise<void>;
  /** @throws ObjectMissing */
  get(key: string): Promise<Readable>;
  exists(key: string): Promise<boolean>;
  delete(key: string): Promise<void>;
}

export class ObjectMissing extends Error {
  override name = "ObjectMissing";
}

const KEY = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,9}$/;

function checkKey(key: string): string {
  if (key.length > 500 || !KEY.test(key))
    throw new Error(`not a key of the object store: ${JSON.stringify(key)}`);
  return key;
}

/** @param url `file:///var/lib/berth/objects` or `s3://bucket?endpoint=http://…&region=…&pathStyle=true` */
export async function openObjectStore(url: string): Promise<ObjectStore> {
  const parsed = new URL(url);
  if (parsed.protocol === "file:") return folderStore(decodeURIComponent(parsed.pathname));
  if (parsed.protocol === "s3:") return s3Store(parsed);
  throw new Error(`BERTH_OBJECT_STORE must start with file:// or s3://, not ${parsed.protocol}`);
}

function folderStore(root: string): ObjectStore {
  const path = (key: string) => join(root, checkKey(key));
  return {
    async put(key, content) {
      const target = path(key);
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      const temporary = `${target}.${randomBytes(6).toString("hex")}.part`;
      try {
        await pipeline(
          Buffer.isBuffer(content) ? Readable.from([content]) : content,
          createWriteStream(temporary, { mode: 0o600 }),
        );
        const file = await open(temporary, "r");
        await file.sync();
        await file.close();
        await rename(temporary, target);
      } finally {
        await rm(temporary, { force: true });
      }
    },
    async get(key) {
      const target = path(key);
      await access(target).catch((cause: unknown) => {
        throw new ObjectMissing(`the object store has no ${key}`, { cause });
      });
      return createReadStream(target);
    },
    exists: (key) =>
      access(path(key)).then(
        () => true,
        () => false,
      ),
    delete: (key) => rm(path(key), { force: true }),
  };
}

async function s3Store(url: URL): Promise<ObjectStore> {
  const { S3Client, GetObjectCommand, HeadObjectCommand, DeleteObjectCommand } = await import(
    "@aws-sdk/client-s3"
  );
  const { Upload } = await import("@aws-sdk/lib-storage");
  const endpoint = url.searchParams.get("endpoint");
  const client = new S3Client({
    region: url.searchParams.get("region") ?? "us-east-1",
    forcePathStyle: url.searchParams.get("pathStyle") !== "false",
    ...(endpoint === null ? {} : { endpoint }),
  });
  const Bucket = url.hostname;
  return {
    async put(key, content) {
      await new Upload({ client, params: { Bucket, Key: checkKey(key), Body: content } }).done();
    },
    async get(key) {
      try {
        const reply = await client.send(new GetObjectCommand({ Bucket, Key: checkKey(key) }));
        return reply.Body as Readable;
      } catch (cause) {
        if (isMissing(cause)) throw new ObjectMissing(`the object store has no ${key}`, { cause });
        throw cause;
      }
    },
    async exists(key) {
      try {
        await client.send(new HeadObjectCommand({ Bucket, Key: checkKey(key) }));
        return true;
      } catch (cause) {
        if (isMissing(cause)) return false;
        throw cause;
      }
    },
    async delete(key) {
      await client.send(new DeleteObjectCommand({ Bucket, Key: checkKey(key) }));
    },
  };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && (error.name === "NoSuchKey" || error.name === "NotFound");
}
