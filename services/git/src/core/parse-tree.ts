/** git's tree object: `<mode> <name>\0<20 bytes of id>`, repeated. */

export interface TreeEntry {
  readonly kind: "tree" | "file" | "link" | "submodule";
  /** Bytes as Latin-1, so that lengths are byte lengths and any name fits. */
  readonly name: string;
  readonly id: string;
}

const SPACE = 0x20;
const ID_BYTES = 20;

/**
 * @param maxCount the parse ends early when the tree has more entries
 * @returns null when the bytes are not a tree
 */
export function parseTree(raw: Buffer, maxCount: number): TreeEntry[] | null {
  const entries: TreeEntry[] = [];
  let at = 0;
  while (at < raw.length && entries.length <= maxCount) {
    const space = raw.indexOf(SPACE, at);
    const end = raw.indexOf(0, space + 1);
    if (space < 0 || end < 0 || end + 1 + ID_BYTES > raw.length) return null;
    const id = raw.toString("hex", end + 1, end + 1 + ID_BYTES);
    entries.push({
      kind: kindOf(raw.toString("latin1", at, space)),
      name: raw.toString("latin1", space + 1, end),
      id,
    });
    at = end + 1 + ID_BYTES;
  }
  return entries;
}

function kindOf(mode: string): TreeEntry["kind"] {
  if (mode === "40000" || mode === "040000") return "tree";
  if (mode === "120000") return "link";
  return mode === "160000" ? "submodule" : "file";
}
