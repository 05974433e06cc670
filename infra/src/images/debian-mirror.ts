/**
 * Which Debian mirror this machine uses, read from its own apt sources.
 *
 * Nothing here names a host: an operator behind a mirror or a proxy has already told apt, and everything that
 * Berth takes from Debian comes from the same place. Both source formats are read: one-line `.list` files and
 * deb822 `.sources` files.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface DebianMirror {
  /** The archive, for example `http://mirror.example/debian`. */
  readonly main: string;
  /** The security archive, or null when the machine has none. */
  readonly security: string | null;
}

interface Source {
  readonly uri: string;
  readonly suite: string;
}

function deb822Sources(text: string): Source[] {
  const found: Source[] = [];
  for (const stanza of text.split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    for (const line of stanza.split("\n")) {
      const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (match?.[1] !== undefined) fields.set(match[1].toLowerCase(), match[2] ?? "");
    }
    if (!/\bdeb\b/.test(fields.get("types") ?? "") || /^no$/i.test(fields.get("enabled") ?? "")) continue;
    if (!/\bmain\b/.test(fields.get("components") ?? "")) continue;
    for (const uri of (fields.get("uris") ?? "").split(/\s+/).filter(Boolean)) {
      for (const suite of (fields.get("suites") ?? "").split(/\s+/).filter(Boolean))
        found.push({ uri, suite });
    }
  }
  return found;
}

function oneLineSources(text: string): Source[] {
  const found: Source[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    if (/\bmain\b/.test(match[3] ?? "")) found.push({ uri: match[1], suite: match[2] });
  }
  return found;
}

/** Parses apt source files (name and text). Pure; `readDebianMirror` is the one that looks at the disk. */
export function findDebianMirror(files: ReadonlyArray<{ name: string; text: string }>): DebianMirror | null {
  const sources = files
    .flatMap((file) =>
      file.name.endsWith(".sources") ? deb822Sources(file.text) : oneLineSources(file.text),
    )
    .map((source) => ({ ...source, uri: source.uri.replace(/\/+$/, "") }));
  const security = sources.find(
    (source) => source.uri.endsWith("-security") || /-security$|\/updates$/.test(source.suite),
  );
  const main = sources.find((source) => source !== security && /\/debian$/.test(source.uri));
  return main === undefined ? null : { main: main.uri, security: security?.uri ?? null };
}

/** @throws Error when the machine's apt sources name no Debian archive. */
export function readDebianMirror(aptDir = "/etc/apt"): DebianMirror {
  const names = [join(aptDir, "sources.list")];
  const partsDir = join(aptDir, "sources.list.d");
  for (const name of listDirectory(partsDir)) {
    if (name.endsWith(".list") || name.endsWith(".sources")) names.push(join(partsDir, name));
  }
  const files = names.flatMap((name) => {
    try {
      return [{ name, text: readFileSync(name, "utf8") }];
    } catch {
      return [];
    }
  });
  const mirror = findDebianMirror(files);
  if (mirror === null) {
    throw new Error(
      `no Debian archive in the apt sources of this machine (read ${names.join(", ")}): ` +
        "add a `deb <mirror>/debian bookworm main` line and try again",
    );
  }
  return mirror;
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}
