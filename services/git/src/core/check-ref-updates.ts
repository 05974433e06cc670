/**
 * The ref updates of a push as git hands them to its hooks, and the rules for them.
 * Names end up in argument lists, file names and messages, so the rules are stricter than git's.
 */
import { GitCommit } from "@berth/shared/domain/names.ts";
import type { PushRefusal } from "./push-limits.ts";
import { refuse } from "./push-limits.ts";
import { showName } from "./show-text.ts";

export interface RefUpdate {
  readonly ref: string;
  readonly oldId: string;
  /** All zeros when the ref is deleted. */
  readonly newId: string;
}

export interface RefUpdates {
  readonly kind: "updates";
  readonly updates: readonly RefUpdate[];
}

export const ZERO_ID = "0".repeat(40);
const REF_BYTES = 250;

/** Letters, digits, `.`, `_`, `/`, `-`; no part starts with `-` or `.`, or ends with `.` or `.lock`. */
export function isRefName(ref: string): boolean {
  if (ref.length > REF_BYTES || !/^refs\/(heads|tags)\/./.test(ref)) return false;
  const parts = ref.split("/").slice(2);
  return parts.every((part) => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(part) && !/\.\.|\.$|\.lock$/.test(part));
}

/** @param lines `<old id> <new id> <ref>` each, without line breaks */
export function checkRefUpdates(
  lines: readonly string[],
  limits: { readonly refsCount: number },
  deployBranch: string,
): RefUpdates | PushRefusal {
  if (lines.length > limits.refsCount) {
    return refuse(
      "push-too-many-refs",
      `This push changes ${lines.length} refs; the limit is ${limits.refsCount} at once.`,
    );
  }
  const updates: RefUpdate[] = [];
  for (const line of lines) {
    const update = parseLine(line);
    if (update === null)
      return refuse("push-ref-name", "A line of this push is not `<old id> <new id> <ref>`.");
    if (!isRefName(update.ref)) return refuse("push-ref-name", explainName(update.ref));
    if (update.ref === `refs/heads/${deployBranch}` && update.newId === ZERO_ID) {
      return refuse(
        "push-ref-name",
        `The deploy branch ${deployBranch} cannot be deleted. To end the service: berth services rm.`,
      );
    }
    updates.push(update);
  }
  return { kind: "updates", updates };
}

function parseLine(line: string): RefUpdate | null {
  const [oldId = "", newId = "", ...rest] = line.split(" ");
  if (!GitCommit.safeParse(oldId).success || !GitCommit.safeParse(newId).success) return null;
  return { oldId, newId, ref: rest.join(" ") };
}

function explainName(ref: string): string {
  if (!/^refs\/(heads|tags)\//.test(ref)) return `The ref "${showName(ref)}" is neither a branch nor a tag.`;
  if (ref.length > REF_BYTES)
    return `The ref "${showName(ref)}" has ${ref.length} characters; the limit is ${REF_BYTES}.`;
  return `The ref name "${showName(ref)}" is not allowed.`;
}
