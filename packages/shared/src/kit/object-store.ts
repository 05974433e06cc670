/**
 * The object store: a folder (one machine) or S3. Keys are `/`-separated names of our own making.
 * A put is all or nothing: a reader never sees half an object.
 */
import { randomBytes } from "node:crypto";
import { folderStore } from "./object-store-folder.ts";
import { checkBucket, parseS3Url, type S3Options, s3Store } from "./object-store-s3.ts";
import type { ObjectStore } from "./object-store-types.ts";
import { ObjectStoreFailed } from "./object-store-types.ts";

export type { ObjectStore } from "./object-store-types.ts";
export { ObjectMissing, ObjectStoreFailed } from "./object-store-types.ts";

/**
 * @param url `file:///var/lib/berth/objects` or `s3://bucket?endpoint=https://…&region=…&pathStyle=true&caFile=/…`
 * @param options for S3; by default credentials are those of the environment (`AWS_ACCESS_KEY_ID` and so on).
 */
export async function openObjectStore(url: string, options: S3Options = {}): Promise<ObjectStore> {
  const parsed = parseUrl(url);
  if (parsed.protocol === "file:") return folderStore(decodeURIComponent(parsed.pathname));
  return await s3Store(parseS3Url(parsed), options);
}

/**
 * Shows that the store can be used: the bucket is there, and an object can be written, read and deleted.
 * @throws ObjectStoreFailed that says what to do, Error when the URL is wrong
 */
export async function checkObjectStore(url: string, options: S3Options = {}): Promise<void> {
  const parsed = parseUrl(url);
  if (parsed.protocol === "s3:") await checkBucket(parseS3Url(parsed), options);
  const store = await openObjectStore(url, options);
  const key = `berth-check/${randomBytes(8).toString("hex")}`;
  await store.put(key, Buffer.from(key));
  const chunks: Buffer[] = [];
  for await (const chunk of (await store.get(key)) as AsyncIterable<Buffer>) chunks.push(chunk);
  await store.delete(key);
  if (Buffer.concat(chunks).toString() !== key)
    throw new ObjectStoreFailed(
      `the object store at ${url} gave back other bytes than were written to ${key}`,
    );
}

function parseUrl(url: string): URL {
  const parsed = URL.parse(url);
  if (parsed !== null && ["file:", "s3:"].includes(parsed.protocol)) return parsed;
  throw new Error(`BERTH_OBJECT_STORE must be file:///FOLDER or s3://BUCKET?endpoint=…&region=…, not ${url}`);
}
