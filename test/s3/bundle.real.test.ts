/** A pushed commit's way through a real S3 server: packed by git's side, read by the builder's side. */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "@berth/infra/run-command.ts";
import { openObjectStore } from "@berth/shared/kit/object-store.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { unpackSource } from "../../services/builder/src/outbound/source-archive.ts";
import { putBundle } from "../../services/git/src/outbound/bundle.ts";
import { repositorySettings } from "../../services/git/src/outbound/repositories.ts";
import { type Swift, startSwift } from "./swift.ts";

const commandTimeoutMs = 60_000;
/** Compressed it is larger than one part of an upload. */
const assetBytes = 9_000_000;
const cage = {
  limits: { childMemoryBytes: 1_000_000_000, childCpuSeconds: 60 },
  settings: repositorySettings({ hooksDir: "/nonexistent", packBytes: 100_000_000 }),
};
let dir: string;
let swift: Swift;
let commit: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "berth-s3-bundle-"));
  swift = await startSwift({ dir: join(dir, "swift") });
  await swift.makeBucket("berth-bundles");
  const work = join(dir, "work");
  await mkdir(work);
  const git = (...args: string[]): Promise<string> =>
    run(["git", "-C", work, "-c", "user.name=t", "-c", "user.email=t@berth.local", ...args], {
      timeoutMs: commandTimeoutMs,
    });
  await git("init", "-q");
  await writeFile(join(work, "Dockerfile"), "FROM scratch\n");
  await writeFile(join(work, "Procfile"), "web: ./serve\n");
  await writeFile(join(work, "asset.bin"), randomBytes(assetBytes));
  await git("add", ".");
  await git("commit", "-q", "-m", "first");
  commit = (await git("rev-parse", "HEAD")).trim();
});

afterAll(async () => {
  await swift?.close();
  await rm(dir, { recursive: true, force: true });
});

const openStore = () =>
  openObjectStore(`s3://berth-bundles?endpoint=${swift.endpoint}&region=${swift.region}`, {
    credentials: { accessKeyId: swift.accessKey, secretAccessKey: swift.secretKey },
  });

test("the builder reads through S3 what git packed", async () => {
  const store = await openStore();
  const key = "org_1/svc_1/dep_1.tar.zst";
  const gitDir = join(dir, "work", ".git");
  const bundleBytes = await putBundle({ cage, store, gitDir, commit, key });
  expect(bundleBytes).toBeGreaterThan(assetBytes);
  const tarPath = join(dir, "source.tar");
  const limits = { maxBytes: 50_000_000, maxEntries: 100 };
  const source = await unpackSource(
    await store.get(key),
    tarPath,
    limits,
    AbortSignal.timeout(commandTimeoutMs),
  );
  expect(source.dockerfile).toBe("FROM scratch\n");
  expect(source.procfile).toBe("web: ./serve\n");
  const asset = await readFile(join(dir, "work", "asset.bin"));
  expect((await readFile(tarPath)).includes(asset)).toBe(true);
  expect((await stat(tarPath)).size).toBeGreaterThan(assetBytes);
});

test("a commit that git cannot pack leaves no bundle", async () => {
  const store = await openStore();
  const key = "org_1/svc_1/dep_2.tar.zst";
  const put = putBundle({ cage, store, gitDir: join(dir, "work", ".git"), commit: "0".repeat(40), key });
  await expect(put).rejects.toThrow("git archive ended with");
  expect(await store.exists(key)).toBe(false);
});
