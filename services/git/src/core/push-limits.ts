/** The limits of one push and the answer when it passes one. */
import type { ErrorCode } from "@berth/shared/contracts/errors.ts";

export interface TreeLimits {
  /** Files and folders of the whole tree, each counted as often as a checkout would write it. */
  readonly treeEntriesCount: number;
  readonly treeDepthCount: number;
  readonly pathBytes: number;
  readonly blobBytes: number;
  /** Sum of all files as a checkout would write them. */
  readonly checkoutBytes: number;
}

export interface PushLimits extends TreeLimits {
  readonly packBytes: number;
  readonly objectsCount: number;
  readonly refsCount: number;
}

/** Why a push is not taken. `message` names what is wrong and the limit. */
export interface PushRefusal {
  readonly kind: "refused";
  readonly code: ErrorCode;
  readonly message: string;
}

export function refuse(code: ErrorCode, message: string): PushRefusal {
  return { kind: "refused", code, message };
}
