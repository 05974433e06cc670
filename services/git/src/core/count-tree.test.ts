import fc from "fast-check";
import { expect, test } from "vitest";
import type { TreeContents, TreeSummary } from "./count-tree.ts";
import { countClimb, countTree } from "./count-tree.ts";
import type { TreeEntry } from "./parse-tree.ts";
import { parseTree } from "./parse-tree.ts";
import type { TreeLimits } from "./push-limits.ts";

const LIMITS: TreeLimits = {
  treeEntriesCount: 1000,
  treeDepthCount: 20,
  pathBytes: 200,
  blobBytes: 100,
  checkoutBytes: 10_000,
};

function contents(
  trees: Record<string, TreeEntry[]>,
  blobs: Record<string, number> = {},
  links: Record<string, string> = {},
): TreeContents {
  return {
    trees: new Map(Object.entries(trees)),
    blobBytes: new Map(Object.entries(blobs)),
    linkTargets: new Map(Object.entries(links)),
  };
}
const file = (name: string, id = "blob"): TreeEntry => ({ kind: "file", name, id });
const folder = (name: string, id: string): TreeEntry => ({ kind: "tree", name, id });
const link = (name: string, id: string): TreeEntry => ({ kind: "link", name, id });
const count = (given: TreeContents, limits = LIMITS) => countTree("root", given, limits, new Map());

test("adds up files, folders, bytes, depth and the longest path", () => {
  const given = contents(
    { root: [file("a"), folder("dir", "t1")], t1: [file("bb"), folder("c", "t2")], t2: [file("d")] },
    { blob: 7 },
  );
  expect(count(given)).toEqual({
    entriesCount: 5,
    depthCount: 3,
    pathBytes: "dir/c/d".length,
    checkoutBytes: 21,
    climbCount: 0,
  });
});

/** `width` times the same tree, `levels` deep: few objects, width^levels files. */
function bomb(levels: number, width: number): TreeContents {
  const trees: Record<string, TreeEntry[]> = {};
  for (let level = 0; level < levels; level++) {
    const id = level === 0 ? "root" : `t${level}`;
    trees[id] = Array.from({ length: width }, (_, i) =>
      level === levels - 1 ? file(`f${i}`) : folder(`d${i}`, `t${level + 1}`),
    );
  }
  return contents(trees);
}

test("a bomb is refused in the time of its objects, not of its files", () => {
  expect(count(bomb(10, 10))).toMatchObject({ code: "push-tree-entries" });
  expect(count(bomb(19, 1000), { ...LIMITS, treeEntriesCount: 1e15 })).toMatchObject({
    code: "push-tree-entries",
  });
});

test("a tree as large as the limit is taken, one more is not", () => {
  const wide = (size: number) => contents({ root: Array.from({ length: size }, (_, i) => file(`f${i}`)) });
  expect(count(wide(1000))).toMatchObject({ entriesCount: 1000 });
  expect(count(wide(1001))).toMatchObject({ code: "push-tree-entries" });
});

test("depth, path, file and total size have their own messages", () => {
  expect(count(bomb(21, 1))).toMatchObject({ code: "push-tree-depth" });
  expect(count(contents({ root: [folder("a".repeat(150), "t")], t: [file("b".repeat(60))] }))).toMatchObject({
    code: "push-path-length",
  });
  expect(count(contents({ root: [file("a")] }, { blob: 101 }))).toMatchObject({ code: "push-blob-size" });
  expect(
    count(contents({ root: Array.from({ length: 101 }, (_, i) => file(`f${i}`)) }, { blob: 100 })),
  ).toMatchObject({ code: "push-checkout-size" });
});

test.each([".git", ".GIT", "..", ".", "", "a/b"])("the name %j is refused", (name) => {
  expect(count(contents({ root: [file(name)] }))).toMatchObject({ code: "push-path-length" });
});

test("links stay inside, wherever the folder that holds them is used", () => {
  const up = (target: string, at: Record<string, TreeEntry[]>) => count(contents(at, {}, { l: target }));
  expect(up("../x", { root: [folder("d", "t")], t: [link("l", "l")] })).toMatchObject({ climbCount: 0 });
  expect(up("../../x", { root: [folder("d", "t")], t: [link("l", "l")] })).toMatchObject({
    code: "push-path-length",
  });
  expect(up("../x", { root: [link("l", "l")] })).toMatchObject({ code: "push-path-length" });
  // The same folder, deep (fine) and at the top (not fine).
  const shared = {
    root: [folder("a", "t1"), folder("t", "t2")],
    t1: [folder("b", "t2")],
    t2: [link("l", "l")],
  };
  expect(up("../../x", shared)).toMatchObject({ code: "push-path-length" });
});

test.each([
  ["x", 0],
  ["./x/y", 0],
  ["../x", 1],
  ["../../", 2],
  ["/etc", null],
  ["", null],
  ["a/../b", null],
  ["../a/../..", null],
])("link target %j climbs %s", (target, climb) => {
  expect(countClimb(target as string)).toBe(climb);
});

/** Trees without sharing, as nested data. */
interface Node {
  readonly files: number;
  readonly folders: readonly Node[];
}
const node = fc.memo(
  (levels): fc.Arbitrary<Node> =>
    fc.record({
      files: fc.nat(3),
      folders: levels <= 1 ? fc.constant([]) : fc.array(node(levels - 1), { maxLength: 3 }),
    }),
);

function walkAll(tree: Node): { entries: number; depth: number } {
  const below = tree.folders.map(walkAll);
  return {
    entries: tree.files + below.reduce((sum, part) => sum + part.entries + 1, 0),
    depth: 1 + Math.max(0, ...below.map((part) => part.depth)),
  };
}

/** Equal folders get equal ids, as git does it. */
function store(tree: Node, trees: Record<string, TreeEntry[]>): string {
  const folders = tree.folders.map((sub, i) => folder(`d${i}`, store(sub, trees)));
  const id = `${tree.files}(${folders.map((entry) => entry.id).join(",")})`;
  trees[id] = [...Array.from({ length: tree.files }, (_, i) => file(`f${i}`)), ...folders];
  return id;
}

test("the sums equal those of a walk through every file, and a memo changes nothing", () => {
  const generous = {
    ...LIMITS,
    treeEntriesCount: 1e9,
    treeDepthCount: 500,
    pathBytes: 4000,
    checkoutBytes: 1e9,
  };
  fc.assert(
    fc.property(node(5), (tree) => {
      const trees: Record<string, TreeEntry[]> = {};
      const rootId = store(tree, trees);
      const memo = new Map<string, TreeSummary>();
      const given = contents(trees, { blob: 3 });
      const first = countTree(rootId, given, generous, memo) as TreeSummary;
      const { entries, depth } = walkAll(tree);
      expect([first.entriesCount, first.depthCount]).toEqual([entries, depth]);
      expect(countTree(rootId, contents({}), generous, memo)).toEqual(first);
    }),
  );
});

test("parses git's trees and notices broken ones", () => {
  const raw = Buffer.concat([
    Buffer.from("40000 dir\0"),
    Buffer.alloc(20, 0xab),
    Buffer.from("120000 l\0"),
    Buffer.alloc(20, 1),
  ]);
  expect(parseTree(raw, 10)).toEqual([
    { kind: "tree", name: "dir", id: "ab".repeat(20) },
    { kind: "link", name: "l", id: "01".repeat(20) },
  ]);
  expect(parseTree(raw.subarray(0, 12), 10)).toBeNull();
  expect(parseTree(raw, 0)?.length).toBe(1);
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void parseTree(Buffer.from(bytes), 100)));
});
