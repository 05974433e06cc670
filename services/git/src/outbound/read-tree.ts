/**
 * Reads every different tree below a root, level by level, and gives up at the first limit: the number of different
 * entries bounds memory and time, whatever a checkout would expand to.
 */
import type { TreeContents, TreeMemo } from "../core/count-tree.ts";
import { tooDeep, tooManyEntries } from "../core/count-tree.ts";
import type { TreeEntry } from "../core/parse-tree.ts";
import { parseTree } from "../core/parse-tree.ts";
import type { PushRefusal, TreeLimits } from "../core/push-limits.ts";
import { refuse } from "../core/push-limits.ts";
import type { ObjectReader } from "./object-reader.ts";
import { ObjectTooLarge } from "./object-reader.ts";

/** Mode, name and id of an entry rarely take more. */
const ENTRY_BYTES = 290;
const LINK_BYTES = 4096;

export async function readTree(
  reader: ObjectReader,
  rootId: string,
  limits: TreeLimits,
  memo: TreeMemo,
): Promise<TreeContents | PushRefusal> {
  const trees = await readTrees(reader, rootId, limits, memo);
  if ("kind" in trees) return trees;
  const files = new Set<string>();
  const links = new Set<string>();
  for (const entries of trees.values()) {
    for (const entry of entries) {
      if (entry.kind === "file") files.add(entry.id);
      if (entry.kind === "link") links.add(entry.id);
    }
  }
  return readBlobs(reader, trees, files, links);
}

async function readTrees(
  reader: ObjectReader,
  rootId: string,
  limits: TreeLimits,
  memo: TreeMemo,
): Promise<Map<string, TreeEntry[]> | PushRefusal> {
  const trees = new Map<string, TreeEntry[]>();
  let level = memo.has(rootId) ? [] : [rootId];
  let entriesCount = 0;
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > limits.treeDepthCount) return tooDeep(limits, "");
    const read = await readLevel(reader, level, limits.treeEntriesCount - entriesCount, trees);
    if (read === "not-a-tree") return refuse("push-fsck", "A tree of the commit is broken.");
    if (read === "too-many") return tooManyEntries(limits, limits.treeEntriesCount + 1);
    entriesCount += read;
    const below = level.flatMap((id) =>
      (trees.get(id) ?? []).filter((entry) => entry.kind === "tree").map((entry) => entry.id),
    );
    level = [...new Set(below)].filter((id) => !trees.has(id) && !memo.has(id));
  }
  return trees;
}

/** @returns the number of entries on this level */
async function readLevel(
  reader: ObjectReader,
  ids: readonly string[],
  maxCount: number,
  trees: Map<string, TreeEntry[]>,
): Promise<number | "too-many" | "not-a-tree"> {
  let count = 0;
  let broken = false;
  try {
    // In slices, so that a limit is noticed before the rest of a wide level is read.
    for (let at = 0; at < ids.length && count <= maxCount; at += 100) {
      await reader.contents(ids.slice(at, at + 100), maxCount * ENTRY_BYTES + LINK_BYTES, (id, raw) => {
        const entries = parseTree(raw, maxCount);
        broken ||= entries === null;
        count += entries?.length ?? 0;
        trees.set(id, entries ?? []);
      });
    }
  } catch (error) {
    if (error instanceof ObjectTooLarge) return "too-many";
    throw error;
  }
  if (broken) return "not-a-tree";
  return count > maxCount ? "too-many" : count;
}

async function readBlobs(
  reader: ObjectReader,
  trees: TreeContents["trees"],
  files: ReadonlySet<string>,
  links: ReadonlySet<string>,
): Promise<TreeContents> {
  const ids = [...new Set([...files, ...links])];
  const infos = await reader.infos(ids);
  const blobBytes = new Map(ids.map((id, i) => [id, infos[i]?.bytes ?? 0]));
  const linkTargets = new Map<string, string>();
  // A target that no file system takes stays unread and counts as absolute.
  const short = [...links].filter((id) => (blobBytes.get(id) ?? 0) < LINK_BYTES);
  await reader.contents(short, LINK_BYTES, (id, raw) => linkTargets.set(id, raw.toString("latin1")));
  return { trees, blobBytes, linkTargets };
}
