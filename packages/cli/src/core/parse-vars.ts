/** Reads variables from the command line (`KEY=value`) and from files: JSON, YAML, or lines like a `.env` file. */
import { parse as parseYaml } from "yaml";

export type Variables = Record<string, string>;

export class VarsError extends Error {
  override name = "VarsError";
}

export function parseAssignment(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new VarsError(`${JSON.stringify(text)} is not NAME=value`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** @param fileName its ending tells the form: `.json`, `.yaml`, `.yml`; anything else is read as a `.env` file */
export function parseVarsFile(fileName: string, text: string): Variables {
  if (/\.json$/i.test(fileName)) return fromObject(parseOr(() => JSON.parse(text) as unknown, "JSON"));
  if (/\.ya?ml$/i.test(fileName))
    return fromObject(parseOr(() => parseYaml(text, { schema: "core" }) as unknown, "YAML"));
  return parseEnvText(text);
}

function parseOr(parse: () => unknown, form: string): unknown {
  try {
    return parse();
  } catch (cause) {
    throw new VarsError(
      `it is not ${form}: ${cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause)}`,
      { cause },
    );
  }
}

/** Numbers and booleans become their text; anything nested is refused, for nobody knows what it would mean. */
function fromObject(value: unknown): Variables {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new VarsError("it must be one object of names and values");
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]): [string, string] => {
      if (typeof entry === "string") return [name, entry];
      if (typeof entry === "number" || typeof entry === "boolean") return [name, String(entry)];
      throw new VarsError(`${name} must be a text, a number or a boolean`);
    }),
  );
}

const LINE = /^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*(.*)$/;

/** As shells and most tools read it: comments, `export`, single quotes literal, double quotes with \n \" \\ \$. */
function parseEnvText(text: string): Variables {
  const variables: Variables = {};
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    const line = (lines[i] ?? "").trim();
    if (line === "" || line.startsWith("#")) continue;
    const match = LINE.exec(line);
    if (match === null) throw new VarsError(`line ${i + 1} is not NAME=value`);
    const [, name = "", start = ""] = match;
    const quote = start[0];
    if (quote !== '"' && quote !== "'") {
      variables[name] = start.replace(/[ \t]+#.*$/, "").trimEnd();
      continue;
    }
    // A quoted value may go over several lines.
    let value = start;
    const from = i;
    while (endOfQuoted(value, quote) === -1) {
      i += 1;
      if (i >= lines.length) throw new VarsError(`line ${from + 1}: the ${quote} is not closed`);
      value += `\n${lines[i] ?? ""}`;
    }
    const end = endOfQuoted(value, quote);
    if (!/^[ \t]*(#.*)?$/.test(value.slice(end + 1)))
      throw new VarsError(`line ${i + 1}: there is text after the closing ${quote}`);
    variables[name] = quote === '"' ? unescapeDouble(value.slice(1, end)) : value.slice(1, end);
  }
  return variables;
}

function endOfQuoted(value: string, quote: string): number {
  for (let i = 1; i < value.length; i++) {
    if (quote === '"' && value[i] === "\\") i += 1;
    else if (value[i] === quote) return i;
  }
  return -1;
}

function unescapeDouble(text: string): string {
  const known: Record<string, string> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\", $: "$" };
  return text.replace(/\\([\s\S])/g, (all, character: string) => known[character] ?? all);
}
