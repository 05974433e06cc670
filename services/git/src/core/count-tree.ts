/**
 * Measures what a checkout of a tree would write, without writing it.
 *
 * Trees are content-addressed and shared: twelve objects can stand for a billion files (CVE-2017-15298). Each
 * different tree is therefore summed up once and the sums are multiplied, so the work is bounded by the number of
 * *different* entries, which the caller bounds while it reads.
 *
 * Pure. The memo may be kept between calls with the same limits: a summary depends on the tree's id alone.
 */
import { assert } from "@berth/shared/domain/assert.ts";
import type { TreeEntry } from "./parse-tree.ts";
import type { PushRefusal, TreeLimits } from "./push-limits.ts";
import { refuse } from "./push-limits.ts";
import { showName } from "./show-text.ts";

export interface TreeSummary {
  readonly entriesCount: number;
  /** 1 for a tree without folders. */
  readonly depthCount: number;
  /** Longest path below this tree. */
  readonly pathBytes: number;
  readonly checkoutBytes: number;
  /** How many levels above this tree its links point at most; above the root it leaves the repository. */
  readonly climbCount: number;
}

export interface TreeContents {
  /** Every tree below the root, but those that the memo knows. */
  readonly trees: ReadonlyMap<string, readonly TreeEntry[]>;
  /** Size of every file and link. */
  readonly blobBytes: ReadonlyMap<string, number>;
  readonly linkTargets: ReadonlyMap<string, string>;
}

export type TreeMemo = Map<string, TreeSummary>;

interface Walk extends TreeContents {
  readonly limits: TreeLimits;
  readonly memo: TreeMemo;
}

/** @returns the root's summary, or the first limit that it passes */
export function countTree(
  rootId: string,
  contents: TreeContents,
  limits: TreeLimits,
  memo: TreeMemo,
): TreeSummary | PushRefusal {
  const summary = summarise({ ...contents, limits, memo }, rootId, "", 1);
  if ("kind" in summary || summary.climbCount === 0) return summary;
  return refuse("push-path-length", "A symbolic link in the commit points outside of the repository.");
}

function summarise(walk: Walk, id: string, path: string, depth: number): TreeSummary | PushRefusal {
  const known = walk.memo.get(id);
  if (known !== undefined) return known;
  if (depth > walk.limits.treeDepthCount) return tooDeep(walk.limits, path);
  let sum: TreeSummary = { entriesCount: 0, depthCount: 1, pathBytes: 0, checkoutBytes: 0, climbCount: 0 };
  const entries = walk.trees.get(id);
  assert(entries !== undefined, `tree ${id} was not read`);
  for (const entry of entries) {
    const entryPath = `${path}${entry.name}`;
    if (!isAllowedName(entry.name))
      return refuse("push-path-length", `The path "${showPath(entryPath)}" is not allowed.`);
    const part =
      entry.kind === "tree"
        ? summarise(walk, entry.id, `${entryPath}/`, depth + 1)
        : summariseLeaf(walk, entry, entryPath);
    if ("kind" in part) return part;
    sum = add(sum, entry, part);
    const refusal = checkLimits(sum, walk.limits, entryPath);
    if (refusal !== null) return refusal;
  }
  walk.memo.set(id, sum);
  return sum;
}

function add(sum: TreeSummary, entry: TreeEntry, part: TreeSummary): TreeSummary {
  const inside = entry.kind === "tree";
  return {
    entriesCount: sum.entriesCount + part.entriesCount + 1,
    depthCount: Math.max(sum.depthCount, part.depthCount + (inside ? 1 : 0)),
    pathBytes: Math.max(sum.pathBytes, entry.name.length + (inside ? 1 + part.pathBytes : 0)),
    checkoutBytes: sum.checkoutBytes + part.checkoutBytes,
    climbCount: Math.max(sum.climbCount, inside ? part.climbCount - 1 : part.climbCount),
  };
}

function summariseLeaf(walk: Walk, entry: TreeEntry, path: string): TreeSummary | PushRefusal {
  const leaf = { entriesCount: 0, depthCount: 0, pathBytes: 0, checkoutBytes: 0, climbCount: 0 };
  if (entry.kind === "submodule") return leaf;
  const bytes = walk.blobBytes.get(entry.id) ?? 0;
  if (bytes > walk.limits.blobBytes) {
    return refuse(
      "push-blob-size",
      `The file "${showPath(path)}" has ${bytes} bytes; the limit is ${walk.limits.blobBytes}.`,
    );
  }
  if (entry.kind === "file") return { ...leaf, checkoutBytes: bytes };
  const climbCount = countClimb(walk.linkTargets.get(entry.id) ?? "/");
  if (climbCount === null) {
    return refuse(
      "push-path-length",
      `The symbolic link "${showPath(path)}" points to an absolute or roundabout path; only relative links inside of the repository are allowed.`,
    );
  }
  return { ...leaf, checkoutBytes: bytes, climbCount };
}

/**
 * How many levels above its own folder a link's target starts. `..` after a name is refused: the name may be
 * another link, and then only a file system could tell where it leads.
 * @returns null when the target is absolute or has `..` after a name
 */
export function countClimb(target: string): number | null {
  if (target === "" || target.startsWith("/")) return null;
  const parts = target.split("/").filter((part) => part !== "" && part !== ".");
  const firstName = parts.findIndex((part) => part !== "..");
  if (firstName < 0) return parts.length;
  return parts.slice(firstName).includes("..") ? null : firstName;
}

function checkLimits(sum: TreeSummary, limits: TreeLimits, path: string): PushRefusal | null {
  if (sum.entriesCount > limits.treeEntriesCount) return tooManyEntries(limits, sum.entriesCount);
  if (sum.depthCount > limits.treeDepthCount) return tooDeep(limits, path);
  if (sum.pathBytes > limits.pathBytes) {
    return refuse(
      "push-path-length",
      `A path under "${showPath(path)}" has more than ${limits.pathBytes} bytes, which is the limit.`,
    );
  }
  if (sum.checkoutBytes > limits.checkoutBytes) {
    return refuse(
      "push-checkout-size",
      `The commit's files have more than ${limits.checkoutBytes} bytes together, which is the limit.`,
    );
  }
  return null;
}

export function tooManyEntries(limits: TreeLimits, atLeast: number): PushRefusal {
  return refuse(
    "push-tree-entries",
    `The commit's tree expands to ${atLeast > 1e15 ? "more than 10^15" : `at least ${atLeast}`} files and folders; the limit is ${limits.treeEntriesCount}.`,
  );
}

export function tooDeep(limits: TreeLimits, path: string): PushRefusal {
  return refuse(
    "push-tree-depth",
    `Folders under "${showPath(path)}" are nested deeper than ${limits.treeDepthCount} levels, which is the limit.`,
  );
}

function isAllowedName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("/") && !/^\.git$/i.test(name);
}

function showPath(path: string): string {
  return showName(Buffer.from(path, "latin1").toString("utf8"));
}
