/** The object store against a real folder and a real S3 server: the same promises hold for both. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import {
  checkObjectStore,
  ObjectMissing,
  type ObjectStore,
  ObjectStoreFailed,
  openObjectStore,
} from "@berth/shared/kit/object-store.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Swift, startSwift } from "./swift.ts";

const bucket = "berth-test";
const chunkBytes = 256 * 1024;
const megabyte = 1024 * 1024;
let dir: string;
let swift: Swift;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "berth-s3-"));
  swift = await startSwift({ dir: join(dir, "swift") });
  await swift.makeBucket(bucket);
});

afterAll(async () => {
  await swift?.close();
  await rm(dir, { recursive: true, force: true });
});

const s3Url = (name = bucket): string => `s3://${name}?endpoint=${swift.endpoint}&region=${swift.region}`;
const credentials = (changed: { accessKeyId?: string; secretAccessKey?: string } = {}) => ({
  credentials: { accessKeyId: swift.accessKey, secretAccessKey: swift.secretKey, ...changed },
});
const openS3 = (): Promise<ObjectStore> => openObjectStore(s3Url(), credentials());
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const read = async (store: ObjectStore, key: string): Promise<Buffer> => await buffer(await store.get(key));

/** `bytesCount` of one kind, then what `end` does: nothing, or throw, or wait for something. */
function streamOf(bytesCount: number, end: () => Promise<void> = async () => {}): Readable {
  async function* chunks(): AsyncGenerator<Buffer> {
    for (let sent = 0; sent < bytesCount; sent += chunkBytes) yield Buffer.alloc(chunkBytes, "x");
    await end();
  }
  return Readable.from(chunks(), { objectMode: false });
}

/** What the promise failed with. */
async function failureOf(promise: Promise<unknown>): Promise<Error> {
  return await promise.then(
    () => Promise.reject(new Error("it did not fail")),
    (error: Error) => error,
  );
}

describe.each([
  ["folder", () => openObjectStore(`file://${join(dir, "objects")}`)],
  ["S3", openS3],
] as const)("object store in %s", (_name, open) => {
  test("gives back what was put, knows that it is there, forgets what was deleted", async () => {
    const store = await open();
    const bytes = randomBytes(3000);
    await store.put("org/svc/a.tar.zst", bytes);
    expect(await store.exists("org/svc/a.tar.zst")).toBe(true);
    expect((await read(store, "org/svc/a.tar.zst")).equals(bytes)).toBe(true);
    await store.delete("org/svc/a.tar.zst");
    expect(await store.exists("org/svc/a.tar.zst")).toBe(false);
    await store.delete("org/svc/a.tar.zst");
  });

  test("keeps an empty object", async () => {
    const store = await open();
    await store.put("empty", Readable.from([], { objectMode: false }));
    expect((await read(store, "empty")).length).toBe(0);
  });

  test("takes a stream of 20 MB whose length nobody knows before", async () => {
    const store = await open();
    const bytes = randomBytes(20 * megabyte + 17);
    const pieces = Array.from({ length: 81 }, (_, at) =>
      bytes.subarray(at * chunkBytes, (at + 1) * chunkBytes),
    );
    await store.put("big", Readable.from(pieces, { objectMode: false }));
    expect(sha256(await read(store, "big"))).toBe(sha256(bytes));
    await store.delete("big");
    expect(await store.exists("big")).toBe(false);
  });

  test("says ObjectMissing for what is not there", async () => {
    const store = await open();
    expect(await failureOf(store.get("nothing/here"))).toBeInstanceOf(ObjectMissing);
    expect(await store.exists("nothing/here")).toBe(false);
  });

  test("a put of the same key replaces", async () => {
    const store = await open();
    await store.put("same", streamOf(6 * megabyte));
    await store.put("same", Buffer.from("second"));
    expect((await read(store, "same")).toString()).toBe("second");
    await store.put("same", streamOf(6 * megabyte));
    expect((await read(store, "same")).length).toBe(6 * megabyte);
  });

  test("two puts of one key at once leave one of them, whole", async () => {
    const store = await open();
    const contents = ["a", "b"].map((letter) => Buffer.alloc(2 * megabyte, letter));
    await Promise.all(contents.map((content) => store.put("raced", content)));
    const kept = await read(store, "raced");
    expect(contents.some((content) => content.equals(kept))).toBe(true);
  });

  test.each([
    ["one request", 1],
    ["parts", 12],
  ])(
    "a put whose stream breaks (%s) leaves nothing and fails with the stream's own error",
    async (name, megabytes) => {
      const store = await open();
      const broken = new Error("git archive ended with 1");
      const key = `broken/${name.replace(" ", "-")}`;
      const put = (): Promise<void> =>
        store.put(
          key,
          streamOf(megabytes * megabyte, () => Promise.reject(broken)),
        );
      expect(await failureOf(put())).toBe(broken);
      expect(await store.exists(key)).toBe(false);
      await store.put(key, Buffer.from("before"));
      expect(await failureOf(put())).toBe(broken);
      expect((await read(store, key)).toString()).toBe("before");
    },
  );

  test.each([
    "",
    "../up",
    "/absolute",
    "a//b",
    "a/../b",
    ".parts/x",
    "a b",
    "a\u0000b",
    "ä",
    "x".repeat(501),
  ])("refuses the key %j", async (key) => {
    const store = await open();
    const content = Buffer.from("x");
    for (const call of [store.put(key, content), store.get(key), store.exists(key), store.delete(key)])
      expect((await failureOf(call)).message).toContain("not a key of the object store");
  });

  test("what stands before a slash is no object", async () => {
    const store = await open();
    await store.put("folder/inside", Buffer.from("x"));
    expect(await store.exists("folder")).toBe(false);
    expect(await failureOf(store.get("folder"))).toBeInstanceOf(ObjectMissing);
    expect(await failureOf(store.get("folder/inside/deeper"))).toBeInstanceOf(ObjectMissing);
    await store.delete("folder");
    expect(await store.exists("folder/inside")).toBe(true);
  });
});

describe("S3", () => {
  test("the check passes and leaves nothing behind; neither did the broken puts before it", async () => {
    await checkObjectStore(s3Url(), credentials());
    const names = await swift.listNames(bucket);
    expect(names.filter((name) => name.startsWith("berth-check"))).toEqual([]);
    expect(names.filter((name) => name.startsWith("broken")).length).toBe(2);
  });

  test.each([
    ["secret key", { secretAccessKey: "wrong" }],
    ["access key", { accessKeyId: "berth:nobody" }],
  ])("a wrong %s is told with endpoint, bucket and what to look at", async (_what, wrong) => {
    const store = await openObjectStore(s3Url(), credentials(wrong));
    const calls = [
      () => store.put("x", Buffer.from("x")),
      () => checkObjectStore(s3Url(), credentials(wrong)),
    ];
    for (const call of calls) {
      const error = await failureOf(call());
      expect(error).toBeInstanceOf(ObjectStoreFailed);
      expect(error.message).toContain(swift.endpoint);
      expect(error.message).toContain(bucket);
      expect(error.message).toContain("AWS_SECRET_ACCESS_KEY");
      expect(error.message).not.toContain(swift.secretKey);
    }
  });

  test("a bucket that is not there is told, with how to make it", async () => {
    const store = await openObjectStore(s3Url("berth-absent"), credentials());
    const makeIt = `aws s3 mb s3://berth-absent --region us-east-1 --endpoint-url ${swift.endpoint}`;
    expect((await failureOf(store.put("x", Buffer.from("x")))).message).toContain(makeIt);
    expect((await failureOf(store.get("x"))).message).toContain(makeIt);
    expect((await failureOf(checkObjectStore(s3Url("berth-absent"), credentials()))).message).toContain(
      makeIt,
    );
  });

  test("a server that takes requests and does not answer is given up after the limit", async () => {
    const limits = { requestTimeoutMs: 400, attemptsCount: 2 };
    const store = await openObjectStore(s3Url(), { ...credentials(), limits });
    await swift.signal("proxy", "SIGSTOP");
    try {
      const error = await failureOf(store.exists("same"));
      expect(error).toBeInstanceOf(ObjectStoreFailed);
      expect(error.message).toContain(swift.endpoint);
    } finally {
      await swift.signal("proxy", "SIGCONT");
    }
  });

  test("a server that dies in the middle of a put: an error, and the old object stays", async () => {
    const store = await openS3();
    await store.put("kept", Buffer.from("before"));
    const kill = (): Promise<void> => swift.signal("proxy", "SIGKILL");
    try {
      const errors = [
        await failureOf(store.put("cut", streamOf(12 * megabyte, kill))),
        await failureOf(store.put("kept", streamOf(12 * megabyte))),
        await failureOf(checkObjectStore(s3Url(), credentials())),
      ];
      for (const error of errors) {
        expect(error).toBeInstanceOf(ObjectStoreFailed);
        expect(error.message).toContain(`object store ${swift.endpoint}, bucket ${bucket}`);
      }
    } finally {
      await swift.restart("proxy");
    }
    expect(await store.exists("cut")).toBe(false);
    expect((await read(store, "kept")).toString()).toBe("before");
  });

  test("a server that dies in the middle of a get: the stream fails, it does not just end", async () => {
    const store = await openS3();
    await store.put("long", streamOf(40 * megabyte));
    const body = await store.get("long");
    try {
      const reading = (async () => {
        let bytes = 0;
        for await (const chunk of body as AsyncIterable<Buffer>) {
          if (bytes === 0) await swift.signal("proxy", "SIGKILL");
          bytes += chunk.length;
        }
        return bytes;
      })();
      expect((await failureOf(reading)).message).not.toContain("did not fail");
    } finally {
      await swift.restart("proxy");
    }
    expect((await read(store, "long")).length).toBe(40 * megabyte);
  });

  test("a put goes on over a restart of the server that is shorter than the client's patience", async () => {
    const store = await openObjectStore(s3Url(), { ...credentials(), limits: { attemptsCount: 12 } });
    await swift.signal("proxy", "SIGKILL");
    const put = store.put("patient", Buffer.from("kept trying"));
    await swift.restart("proxy");
    await put;
    expect((await read(store, "patient")).toString()).toBe("kept trying");
  });
});
