/**
 * Makes hostile text safe to show in a terminal: names of files and refs, and lines that a build printed.
 * Colours stay in output lines; every other escape sequence and control character goes.
 */
const COLOUR = /\u001b\[[0-9;]{0,16}m/g;
const ESCAPE = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** One line of output, at most `maxLength` characters. */
export function cleanLine(line: string, maxLength = 4000): string {
  let clean = "";
  let at = 0;
  let coloured = false;
  const shown = line.slice(0, maxLength).replace(/[\r\n]+/g, " ");
  for (const match of shown.matchAll(COLOUR)) {
    clean += strip(shown.slice(at, match.index)) + match[0];
    coloured = true;
    at = match.index + match[0].length;
  }
  return clean + strip(shown.slice(at)) + (coloured ? "\u001b[0m" : "");
}

/** A reason of several lines, each safe to show. */
export function cleanLines(text: string, maxLines = 40): string {
  return text
    .split(/\r?\n/)
    .slice(0, maxLines)
    .map((line) => cleanLine(line))
    .join("\n");
}

function strip(text: string): string {
  return text.replace(ESCAPE, "").replace(CONTROL, "");
}

/** A name for a message: control characters show as `?`, the middle of a long one as `…`. */
export function showName(name: string): string {
  const visible = name.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "?");
  return visible.length <= 120 ? visible : `${visible.slice(0, 60)}…${visible.slice(-50)}`;
}
