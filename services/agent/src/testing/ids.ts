/** Fresh ids for tests. */
import { randomBytes } from "node:crypto";
import { formatId, type IdKind } from "@berth/shared/domain/ids.ts";

export function newTestId(kind: IdKind): string {
  return formatId(kind, Date.now(), randomBytes(10));
}
