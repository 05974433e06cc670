/** What every driver of the object store keeps to; see object-store.ts. */
import type { Readable } from "node:stream";

export interface ObjectStore {
  /**
   * All or nothing; the same key again replaces. Ends `content`, also when it fails.
   * @throws ObjectStoreFailed, or what `content` itself failed with
   */
  put(key: string, content: Readable | Buffer): Promise<void>;
  /** The stream fails, and never just ends, when the object could not be read whole. @throws ObjectMissing */
  get(key: string): Promise<Readable>;
  exists(key: string): Promise<boolean>;
  /** An object that is not there is no error. */
  delete(key: string): Promise<void>;
}

export class ObjectMissing extends Error {
  override name = "ObjectMissing";
}

/** The store did not do it. The message says which store, what was tried, why, and what to look at. */
export class ObjectStoreFailed extends Error {
  override name = "ObjectStoreFailed";
}

const KEY = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,9}$/;
const KEY_MAX_CHARS = 500;

/** No part of a key begins with a dot, so no key leads out of a folder. @throws Error */
export function checkKey(key: string): string {
  if (key.length > KEY_MAX_CHARS || !KEY.test(key))
    throw new Error(`not a key of the object store: ${JSON.stringify(key.slice(0, KEY_MAX_CHARS))}`);
  return key;
}

export function isOwnErrorOf(content: Readable | Buffer, error: unknown): boolean {
  return !Buffer.isBuffer(content) && content.errored !== null && content.errored === error;
}
