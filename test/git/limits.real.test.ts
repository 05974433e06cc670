/** Pushes that must not be taken, each with its message; small limits where large ones would only cost time. */
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { GitPod } from "./git-pod.ts";
import { startGitPod } from "./git-pod.ts";
import type { GitResult } from "./work-tree.ts";
import { WorkTree } from "./work-tree.ts";

const MIB = 1024 ** 2;
let pod: GitPod;
beforeAll(async () => {
  pod = await startGitPod({
    BERTH_GIT_PACK_BYTES: String(4 * MIB),
    BERTH_GIT_BLOB_BYTES: String(MIB),
    BERTH_GIT_CHECKOUT_BYTES: String(3 * MIB),
    BERTH_GIT_OBJECTS_COUNT: "500",
    BERTH_GIT_REFS_COUNT: "5",
  });
}, 120_000);
afterAll(async () => {
  const left = await readdir(join(pod.dir, "git/repositories", `${pod.ids.service}.git`, "objects")).catch(
    () => [],
  );
  await pod?.close();
  // Refused objects are thrown away with their quarantine.
  expect(left.filter((name) => name.startsWith("tmp_objdir") || name.startsWith("incoming"))).toEqual([]);
}, 60_000);

async function expectRefused(result: Promise<GitResult>, code: string, ...texts: string[]): Promise<void> {
  const { code: exitCode, output } = await result;
  expect(exitCode, output).not.toBe(0);
  expect(output).toContain(`Push refused: ${code}`);
  expect(output).toContain("Next: ");
  for (const text of texts) expect(output).toContain(text);
  expect((await pod.db.query("select 1 from git.pushes")).rowCount).toBe(0);
}

/** Makes a commit of one hand-made tree and pushes it. */
async function pushTree(tree: WorkTree, treeId: string): Promise<GitResult> {
  const commit = await tree.git(["commit-tree", treeId, "-m", "made by hand"]);
  return tree.push(pod.remote(), `${commit}:refs/heads/main`).result;
}

async function blob(tree: WorkTree, content: string | Buffer): Promise<string> {
  return tree.git(["hash-object", "-w", "--stdin"], content);
}

test("a git bomb: twelve objects, ten thousand million files", async () => {
  const tree = await WorkTree.make(pod.dir);
  let entry = `100644 blob ${await blob(tree, "boom")}`;
  let top = "";
  for (let level = 0; level < 10; level++) {
    const lines = Array.from({ length: 10 }, (_, i) => `${entry}\td${i}\n`).join("");
    top = await tree.git(["mktree"], lines);
    entry = `040000 tree ${top}`;
  }
  await expectRefused(pushTree(tree, top), "push-tree-entries", "the limit is 100000");
}, 60_000);

test("one folder with a million files", async () => {
  const tree = await WorkTree.make(pod.dir);
  const id = await blob(tree, "x");
  const rows = Array.from({ length: 1_000_000 }, (_, i) => [
    Buffer.from(`100644 f${String(i).padStart(7, "0")}\0`),
    Buffer.from(id, "hex"),
  ]);
  const treeId = await tree.git(["hash-object", "-t", "tree", "-w", "--stdin"], Buffer.concat(rows.flat()));
  await expectRefused(pushTree(tree, treeId), "push-tree-entries", "the limit is 100000");
}, 60_000);

test("folders nested too deep, a path too long", async () => {
  const tree = await WorkTree.make(pod.dir);
  let entry = `100644 blob ${await blob(tree, "x")}\tfile`;
  let top = "";
  for (let level = 0; level < 60; level++) {
    top = await tree.git(["mktree"], `${entry}\n`);
    entry = `040000 tree ${top}\td`;
  }
  await expectRefused(pushTree(tree, top), "push-tree-depth", "50 levels");
  entry = `100644 blob ${await blob(tree, "x")}\tfile`;
  for (let level = 0; level < 6; level++) {
    top = await tree.git(["mktree"], `${entry}\n`);
    entry = `040000 tree ${top}\t${"n".repeat(200)}`;
  }
  await expectRefused(
    pushTree(tree, await tree.git(["mktree"], `${entry}\n`)),
    "push-path-length",
    "1024 bytes",
  );
}, 30_000);

test("a file too large, files too large together, a pack too large, too many objects", async () => {
  const large = await WorkTree.make(pod.dir);
  await large.commit({ "data/big.bin": "0".repeat(MIB + 1) });
  await expectRefused(
    large.push(pod.remote()).result,
    "push-blob-size",
    "data/big.bin",
    "the limit is 1048576",
  );

  const shared = await WorkTree.make(pod.dir);
  const id = await blob(shared, "1".repeat(MIB));
  const lines = [1, 2, 3, 4].map((i) => `100644 blob ${id}\tcopy${i}\n`).join("");
  await expectRefused(
    pushTree(shared, await shared.git(["mktree"], lines)),
    "push-checkout-size",
    "the limit",
  );

  const pack = await WorkTree.make(pod.dir);
  const files = Object.fromEntries(
    Array.from({ length: 8 }, (_, i) => [`r${i}`, randomBytes(700_000).toString("latin1")]),
  );
  await pack.commit(files);
  await expectRefused(pack.push(pod.remote()).result, "push-pack-size", "4194304 bytes");

  const many = await WorkTree.make(pod.dir);
  await many.commit(Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`f${i}`, `${i}`])));
  await expectRefused(many.push(pod.remote()).result, "push-too-many-objects", "the limit is 500");
}, 60_000);

test("ref names: options, control characters, other places, the deploy branch's end", async () => {
  const tree = await WorkTree.make(pod.dir);
  const commit = await tree.commit({ a: "1" });
  for (const ref of [
    "refs/heads/-x",
    "refs/heads/--upload-pack=evil",
    "refs/notes/x",
    "refs/heads/a/-b",
    "refs/heads/ü",
  ]) {
    await expectRefused(tree.push(pod.remote(), `${commit}:${ref}`).result, "push-ref-name");
  }
  await expectRefused(
    tree.push(pod.remote(), ...Array.from({ length: 6 }, (_, i) => `main:b${i}`)).result,
    "push-too-many-refs",
    "the limit is 5",
  );
}, 60_000);

test("a crafted push: names that no git client would send", async () => {
  const tree = await WorkTree.make(pod.dir);
  const commit = await tree.commit({ a: "crafted" });
  expect((await tree.push(pod.remote(), "main:known").result).code).toBe(0);
  const emptyPack = Buffer.from("5041434b0000000200000000029d08823bd8a8eab510ad6ac75c823cfd3ed31e", "hex");
  const names = [
    "refs/heads/../../x",
    "refs/heads/a\u001b[31mred",
    "refs/heads/a\nb",
    "--upload-pack=x",
    "refs/heads/$(id);x",
    "../../x",
    "HEAD",
  ];
  for (const ref of names) {
    const line = `${"0".repeat(40)} ${commit} ${ref}\0 report-status side-band-64k agent=evil`;
    const body = Buffer.concat([
      Buffer.from(`${(line.length + 4).toString(16).padStart(4, "0")}${line}0000`),
      emptyPack,
    ]);
    const text = await postPack(body);
    expect(text, ref).toContain("Push refused: push-ref-name");
    expect(text, ref).toContain(`ng ${ref}`);
    // git's report repeats the name to whoever sent it; what people read must not.
    expect(text.slice(0, text.indexOf("unpack ")), ref).not.toContain("\u001b");
  }
  expect(await tree.git(["ls-remote", pod.remote()])).toBe(`${commit}\trefs/heads/known`);
}, 30_000);

async function postPack(body: Buffer): Promise<string> {
  const authorization = `Basic ${Buffer.from(`berth:${pod.tokens.good}`).toString("base64")}`;
  const answer = await fetch(`${pod.url}/acme/production/shop.git/git-receive-pack`, {
    method: "POST",
    headers: { authorization, "content-type": "application/x-git-receive-pack-request" },
    body: new Uint8Array(body),
  });
  return answer.text();
}

test("trees that lie: .git inside, links out of the repository", async () => {
  const tree = await WorkTree.make(pod.dir);
  const id = await blob(tree, "x");
  const raw = (name: string) =>
    tree.git(
      ["hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
      Buffer.concat([Buffer.from(`100644 ${name}\0`), Buffer.from(id, "hex")]),
    );
  for (const name of [".git", ".GIT", "..", "a/b"])
    await expectRefused(pushTree(tree, await raw(name)), "push-fsck");
  for (const target of ["/etc/passwd", "../x", "a/../../x"]) {
    const link = await blob(tree, target);
    await expectRefused(
      pushTree(tree, await tree.git(["mktree"], `120000 blob ${link}\tlink\n`)),
      "push-path-length",
      "symbolic link",
    );
  }
}, 60_000);

test("an empty repository and a commit without files", async () => {
  const tree = await WorkTree.make(pod.dir);
  expect((await tree.push(pod.remote()).result).output).toContain("src refspec main does not match any");
  await tree.commit({});
  await expectRefused(tree.push(pod.remote()).result, "push-empty", "no files");
}, 30_000);
