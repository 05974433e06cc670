/**
 * A table of the packet filter as a value: what is put into the kernel, the least that makes one of another, and what
 * `nft` is expected to show of it. So a network or a container more costs the same beside few and beside hundreds.
 */

/** `inet`: what passes the host. `bridge`: what comes out of containers' ports. */
export type TableFamily = "inet" | "bridge";

export interface NftSet {
  readonly kind: "set" | "map";
  readonly name: string;
  /** As nft writes it, with flags: `ifname . ipv4_addr; flags interval`. */
  readonly type: string;
  /** As nft shows them, where that is known, so that a change of them need not be read back. */
  readonly elements: readonly string[];
}

export interface NftTable {
  readonly family: TableFamily;
  readonly name: string;
  readonly sets: readonly NftSet[];
  /** The text of its chains. */
  readonly chains: string;
}

/** What `nft list table` shows: the text without elements, and per set its elements. */
export interface ShownTable {
  readonly frame: string;
  readonly elements: ReadonlyMap<string, ReadonlySet<string>>;
}

export function nftSet(name: string, type: string, elements: readonly string[]): NftSet {
  return { kind: "set", name, type, elements: [...new Set(elements)].sort() };
}

export function nftMap(name: string, types: string, elements: readonly string[]): NftSet {
  return { ...nftSet(name, types, elements), kind: "map" };
}

/** One transaction: the old table goes and the new one comes, with no moment between. */
export function wholeText({ family, name, sets, chains }: NftTable): string {
  const lines = sets.map((set) => `  ${set.kind} ${set.name} { type ${set.type};${listed(set.elements)} }`);
  return `table ${family} ${name} {}
delete table ${family} ${name}
table ${family} ${name} {
${lines.join("\n")}
${chains}}
`;
}

/** nft refuses an empty list. */
function listed(elements: readonly string[]): string {
  return elements.length === 0 ? "" : ` elements = { ${elements.join(", ")} };`;
}

export function isSameTable(one: NftTable, other: NftTable): boolean {
  return isSameFrame(one, other) && one.sets.every((set, i) => isSameList(set, other.sets[i]));
}

function isSameFrame(one: NftTable, other: NftTable): boolean {
  const frame = ({ kind, name, type }: NftSet) => `${kind} ${name} ${type}`;
  return one.chains === other.chains && one.sets.map(frame).join("\n") === other.sets.map(frame).join("\n");
}

function isSameList(one: NftSet, other: NftSet | undefined): boolean {
  return (
    one.elements.length === other?.elements.length &&
    one.elements.every((element, i) => element === other.elements[i])
  );
}

/** The elements that come and go, set by set. */
interface SetChange {
  readonly set: string;
  readonly gone: readonly string[];
  readonly added: readonly string[];
}

/**
 * One transaction that makes `after` of a table that is as `before`; empty when they are the same.
 * @returns null when only the whole does: chains differ, or the elements of a set that nft merges with each other
 */
export function changeText(before: NftTable, after: NftTable): string | null {
  if (!isSameFrame(before, after)) return null;
  const changed = after.sets.filter((set, i) => !isSameList(set, before.sets[i]));
  if (changed.some(({ type }) => type.includes("auto-merge"))) return null;
  const { family, name } = after;
  const line = (verb: string, set: string, elements: readonly string[]) =>
    elements.length === 0 ? "" : `${verb} element ${family} ${name} ${set} { ${elements.join(", ")} }\n`;
  return changesOf(before, after)
    .map(({ set, gone, added }) => line("delete", set, gone) + line("add", set, added))
    .join("");
}

function changesOf(before: NftTable, after: NftTable): SetChange[] {
  return after.sets.flatMap((set, i) => {
    const old = before.sets[i];
    if (isSameList(set, old)) return [];
    const [had, has] = [new Set(old?.elements), new Set(set.elements)];
    const gone = [...had].filter((element) => !has.has(element));
    return [{ set: set.name, gone, added: set.elements.filter((element) => !had.has(element)) }];
  });
}

/** @param text of `nft --stateless list table` */
export function shownTable(text: string): ShownTable {
  const elements = new Map<string, ReadonlySet<string>>();
  for (const [, name = "", inside = ""] of text.matchAll(/^\t(?:set|map) (\S+) \{\n([^{}]*\{[^{}]*\})/gm)) {
    const [, list = ""] = /elements = \{([^}]*)\}/.exec(inside) ?? [];
    elements.set(name, new Set(list.split(",").map((element) => element.trim())));
  }
  return { frame: text.replaceAll(/^\t\telements = \{[^}]*\}\n/gm, ""), elements };
}

/** What is shown after `changeText` was carried out on a table of which `shown` is shown. */
export function shownAfter(shown: ShownTable, before: NftTable, after: NftTable): ShownTable {
  const elements = new Map(shown.elements);
  for (const { set, gone, added } of changesOf(before, after)) {
    const now = new Set(elements.get(set));
    for (const element of gone) now.delete(element);
    for (const element of added) now.add(element);
    if (now.size > 0) elements.set(set, now);
    else elements.delete(set);
  }
  return { frame: shown.frame, elements };
}

export function isSameShown(one: ShownTable, other: ShownTable): boolean {
  if (one.frame !== other.frame || one.elements.size !== other.elements.size) return false;
  return [...one.elements].every(([set, elements]) => {
    const others = other.elements.get(set);
    return others?.size === elements.size && [...elements].every((element) => others.has(element));
  });
}
