/**
 * Reads what a buildpack's `bin/release` prints: YAML with `default_process_types`, names to commands.
 *
 * Only that one map is read, and only in the plain form that buildpacks print; anything else in the document
 * (add-ons, config variables) has no meaning here and is skipped.
 */
export function parseRelease(text: string): Readonly<Record<string, string>> {
  const processes: Record<string, string> = {};
  let inside = false;
  for (const line of text.slice(0, 65_536).split(/\r?\n/)) {
    if (/^\S/.test(line)) {
      inside = /^default_process_types:\s*$/.test(line);
      continue;
    }
    const match = inside ? /^\s+([a-z][a-z0-9_-]{0,29}):\s+(\S.*)$/.exec(line) : null;
    if (match?.[1] !== undefined && match[2] !== undefined) processes[match[1]] = unquote(match[2].trim());
  }
  return processes;
}

function unquote(value: string): string {
  const double = /^"(.*)"$/.exec(value);
  if (double?.[1] !== undefined) return double[1].replace(/\\(["\\])/g, "$1");
  const single = /^'(.*)'$/.exec(value);
  return single?.[1] === undefined ? value : single[1].replace(/''/g, "'");
}
