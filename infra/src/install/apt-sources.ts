/**
 * Finds the Debian mirror that this machine already uses, in both formats of apt's sources. Pure; the caller reads
 * the files. Used to fetch single packages of another suite from the same mirror, checked by the same keys.
 */
export type AptSource = {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Keyring file; null when the source names none and apt's own trusted keys apply. */
  readonly signedBy: string | null;
};

/** Reads one `*.sources` file (deb822 format). Stanzas that are switched off are left out. */
export function parseDeb822(text: string): readonly AptSource[] {
  const sources: AptSource[] = [];
  for (const stanza of text.replace(/^#.*\n?/gm, "").split(/\n\s*\n/)) {
    const fields = deb822Fields(stanza);
    const words = (name: string): readonly string[] =>
      (fields.get(name) ?? "").split(/\s+/).filter((word) => word !== "");
    if (!words("types").includes("deb") || fields.get("enabled")?.trim() === "no") continue;
    const keyring = fields.get("signed-by")?.trim();
    const signedBy = keyring?.startsWith("/") === true && !keyring.includes("\n") ? keyring : null;
    for (const uri of words("uris"))
      sources.push({ uri, suites: words("suites"), components: words("components"), signedBy });
  }
  return sources;
}

function deb822Fields(stanza: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let name = "";
  for (const line of stanza.split("\n")) {
    const field = /^([A-Za-z-]+):(.*)$/.exec(line);
    if (field !== null) {
      name = (field[1] ?? "").toLowerCase();
      fields.set(name, field[2] ?? "");
    } else if (/^\s/.test(line) && name !== "") fields.set(name, `${fields.get(name) ?? ""}\n${line.trim()}`);
  }
  return fields;
}

/** Reads one `*.list` file: `deb [signed-by=/path arch=amd64] URI suite component…`. */
export function parseOneLine(text: string): readonly AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) continue;
    const [, options = "", uri = "", suite = "", components = ""] = match;
    const signedBy = /(?:^|\s)signed-by=(\/\S+)/i.exec(options)?.[1] ?? null;
    sources.push({
      uri,
      suites: [suite],
      components: components.split(/\s+/).filter((word) => word !== ""),
      signedBy,
    });
  }
  return sources;
}

/**
 * The mirror of Debian itself among all sources: it serves the machine's own release in component `main`.
 * Other vendors' archives name their suites otherwise; security and updates are other suites of the same name.
 */
export function findDebianMirror(sources: readonly AptSource[], codename: string): AptSource | null {
  const names = [codename, "stable", "testing", "unstable", "sid"];
  const serves = (source: AptSource): boolean =>
    source.components.includes("main") &&
    source.suites.some((suite) => names.includes(suite)) &&
    !source.uri.includes("security");
  return (
    sources.find((source) => serves(source) && source.suites.includes(codename)) ??
    sources.find(serves) ??
    null
  );
}
