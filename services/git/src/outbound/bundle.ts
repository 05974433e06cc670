/** Source bundles: `git archive` of one commit, compressed with zstd, streamed into the object store. */
import { pipeline, Readable } from "node:stream";
import { constants, createZstdCompress } from "node:zlib";
import type { ObjectStore } from "@berth/shared/kit/object-store.ts";
import type { GitCage, GitProcess } from "./git-process.ts";
import { GitFailed, startGit } from "./git-process.ts";

const BUNDLE_TIMEOUT_MS = 300_000;
const ZSTD_LEVEL = 3;

/** @returns the bundle's size. @throws GitFailed, and then the store has no such object */
export async function putBundle(given: {
  cage: GitCage;
  store: ObjectStore;
  gitDir: string;
  commit: string;
  key: string;
}): Promise<number> {
  const git = startGit(given.cage, {
    args: ["--git-dir", given.gitDir, "archive", "--format=tar", "--", given.commit],
    timeoutMs: BUNDLE_TIMEOUT_MS,
  });
  git.child.stdin.end();
  const zstd = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
  // An error on the way destroys `zstd`, which makes the put fail; the put's own error ends git below.
  pipeline(Readable.from(archive(git)), zstd, () => {});
  let bytes = 0;
  const counted = async function* () {
    for await (const chunk of zstd as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      yield chunk;
    }
  };
  try {
    await given.store.put(given.key, Readable.from(counted(), { objectMode: false }));
  } finally {
    git.kill();
  }
  return bytes;
}

/** The archive's bytes; it ends well only if git did, so a cut archive never looks whole. */
async function* archive(git: GitProcess): AsyncGenerator<Buffer> {
  for await (const chunk of git.child.stdout as AsyncIterable<Buffer>) yield chunk;
  const code = await git.ended;
  if (code !== 0) throw new GitFailed(`git archive ended with ${code ?? "a signal"}: ${git.stderrTail()}`);
}
