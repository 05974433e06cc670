/** Reads a small YAML file of a repository against a schema: every problem with its line and column. */
import type { Document, Node } from "yaml";
import { isMap, isScalar, LineCounter, parseDocument, visit } from "yaml";
import type { z } from "zod";
import { nearestName } from "../domain/app-config.ts";

export const MAX_APP_FILE_BYTES = 64 * 1024;

export interface YamlProblem {
  /** 1-based. */
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

export type ReadYaml<T> =
  | { readonly kind: "read"; readonly value: T }
  | { readonly kind: "problems"; readonly problems: readonly YamlProblem[] };

/** The keys that exist below a path: among them the nearest one to an unknown key is looked for. */
export type KnownKeys = (path: readonly (string | number)[]) => readonly string[];

/** An empty file is an empty object. */
export function readYamlFile<T>(text: string, schema: z.ZodType<T>, knownKeys: KnownKeys): ReadYaml<T> {
  if (Buffer.byteLength(text) > MAX_APP_FILE_BYTES)
    return problems([
      { line: 1, column: 1, text: `the file is larger than ${MAX_APP_FILE_BYTES / 1024} KiB` },
    ]);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const at = (offset: number): Omit<YamlProblem, "text"> => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const broken = [...document.errors, ...document.warnings].map((error) => {
    return { ...at(error.pos[0]), text: error.message.split("\n")[0] ?? "is not YAML" };
  });
  if (broken.length > 0) return problems(broken);
  const alias = findAlias(document);
  if (alias !== null)
    return problems([{ ...at(alias), text: "aliases (*name) are not used here; write it out" }]);
  const parsed = schema.safeParse(document.toJS() ?? {});
  if (parsed.success) return { kind: "read", value: parsed.data };
  const found = parsed.error.issues.flatMap((issue) => describe(issue, document, at, knownKeys));
  return problems(found);
}

function problems(found: readonly YamlProblem[]): ReadYaml<never> {
  const sorted = found.toSorted((a, b) => a.line - b.line || a.column - b.column);
  return { kind: "problems", problems: sorted };
}

/** An alias may make a small file huge. */
function findAlias(document: Document): number | null {
  let found: number | null = null;
  visit(document, {
    Alias: (_key, node) => {
      found = node.range?.[0] ?? 0;
      return visit.BREAK;
    },
  });
  return found;
}

type Issue = z.core.$ZodIssue;

function describe(
  issue: Issue,
  document: Document,
  at: (offset: number) => Omit<YamlProblem, "text">,
  knownKeys: KnownKeys,
): YamlProblem[] {
  const path = issue.path as readonly (string | number)[];
  if (issue.code === "unrecognized_keys") {
    const known = knownKeys(path);
    return issue.keys.map((key) => ({
      ...at(keyOffset(document, [...path, key])),
      text: unknownKey(key, path, known),
    }));
  }
  const name = path.join(".");
  // A wrong key of a record carries its own reason inside.
  if (issue.code === "invalid_key") {
    const text = issue.issues[0]?.message ?? issue.message;
    return [{ ...at(keyOffset(document, path)), text: `${name}: ${text}` }];
  }
  const text = issue.message.replace(/^Invalid input: /, "");
  return [{ ...at(valueOffset(document, path)), text: name === "" ? text : `${name}: ${text}` }];
}

function unknownKey(key: string, path: readonly (string | number)[], known: readonly string[]): string {
  const where = path.length === 0 ? "" : ` in ${path.join(".")}`;
  const nearest = nearestName(key, known);
  const hint = nearest === null ? `known are: ${known.join(", ")}` : `did you mean ${nearest}?`;
  return `unknown key ${JSON.stringify(key)}${where}; ${hint}`;
}

function keyOffset(document: Document, path: readonly (string | number)[]): number {
  const parent = nodeAt(document, path.slice(0, -1));
  if (!isMap(parent)) return offsetOf(parent);
  const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(path.at(-1)));
  return offsetOf((pair?.key ?? parent) as Node);
}

/** Where the value begins; where there is none, its key. */
function valueOffset(document: Document, path: readonly (string | number)[]): number {
  const node = nodeAt(document, path);
  if (node?.range != null && !(isScalar(node) && node.value === null)) return node.range[0];
  return path.length === 0 ? 0 : keyOffset(document, path);
}

function nodeAt(document: Document, path: readonly (string | number)[]): Node | null {
  const found = path.length === 0 ? document.contents : document.getIn(path, true);
  return (found ?? null) as Node | null;
}

function offsetOf(node: Node | null): number {
  return node?.range?.[0] ?? 0;
}
