/**
 * Checks a push while its objects are still in quarantine: nothing was checked out, no ref has moved, and a refusal
 * throws the objects away.
 */

import type { RefUpdate } from "../core/check-ref-updates.ts";
import { checkRefUpdates, ZERO_ID } from "../core/check-ref-updates.ts";
import type { TreeMemo } from "../core/count-tree.ts";
import { countTree } from "../core/count-tree.ts";
import type { PushLimits, PushRefusal } from "../core/push-limits.ts";
import { refuse } from "../core/push-limits.ts";
import { showName } from "../core/show-text.ts";
import type { GitCage } from "../outbound/git-process.ts";
import { ObjectReader } from "../outbound/object-reader.ts";
import { countPackedObjects } from "../outbound/pack-header.ts";
import { readTree } from "../outbound/read-tree.ts";
import type { HookRequest } from "./hook-request.ts";
import type { PushSession } from "./push-session.ts";

export interface PreReceiveGiven {
  readonly limits: PushLimits;
  readonly cage: GitCage;
  readonly memory: TreeMemory;
}

/** Trees that were measured before, of any push: a later push reads only what it changed. */
export class TreeMemory {
  #memo: TreeMemo = new Map();

  /** The memo for one push. A full one is replaced, never emptied: a push under way relies on what it saw. */
  memo(): TreeMemo {
    if (this.#memo.size > MEMO_COUNT) this.#memo = new Map();
    return this.#memo;
  }
}

const CHECK_TIMEOUT_MS = 60_000;
const MEMO_COUNT = 100_000;

/** @returns the refusal, or null when the push may go on */
export async function checkPush(
  given: PreReceiveGiven,
  session: PushSession,
  request: HookRequest,
  gitDir: string,
): Promise<PushRefusal | null> {
  const { deployBranch } = session.service;
  const checked = checkRefUpdates(request.lines, given.limits, deployBranch);
  if (checked.kind === "refused") return checked;
  if (request.quarantineDir === "") return null; // refs are removed, nothing came
  const objectsCount = await countPackedObjects(request.quarantineDir);
  if (objectsCount > given.limits.objectsCount) {
    return refuse(
      "push-too-many-objects",
      `This push has ${objectsCount} new objects; the limit is ${given.limits.objectsCount}.`,
    );
  }
  const reader = new ObjectReader(given.cage, {
    gitDir,
    env: request.quarantineEnv,
    timeoutMs: CHECK_TIMEOUT_MS,
  });
  try {
    return await checkTips(given, reader, checked.updates, `refs/heads/${deployBranch}`);
  } finally {
    reader.close();
  }
}

async function checkTips(
  given: PreReceiveGiven,
  reader: ObjectReader,
  updates: readonly RefUpdate[],
  deployRef: string,
): Promise<PushRefusal | null> {
  for (const update of updates.filter(({ newId }) => newId !== ZERO_ID)) {
    const isBranch = update.ref.startsWith("refs/heads/");
    const [commit, tree] = await reader.infos([`${update.newId}^{commit}`, `${update.newId}^{tree}`]);
    if (isBranch && commit == null)
      return refuse("push-empty", `"${showName(update.ref)}" does not point to a commit.`);
    if (tree == null) continue; // a tag of a file: it can never be deployed
    const summary = await measureTree(given, reader, tree.id);
    if ("kind" in summary) return summary;
    if (update.ref === deployRef && summary.entriesCount === 0)
      return refuse("push-empty", "The pushed commit has no files.");
  }
  return null;
}

async function measureTree(given: PreReceiveGiven, reader: ObjectReader, rootId: string) {
  const memo = given.memory.memo();
  const contents = await readTree(reader, rootId, given.limits, memo);
  return "kind" in contents ? contents : countTree(rootId, contents, given.limits, memo);
}
