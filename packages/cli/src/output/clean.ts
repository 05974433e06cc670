/**
 * Makes foreign text (logs, commit texts, names, reasons) safe to print: it must not move the cursor, change the
 * title, write the clipboard, or reorder what the reader sees.
 */

// Colours are harmless but lose their end when lines are cut, so they are dropped.
const COLOUR = /\u001b\[[0-9;:]*m/g;
// C0 but tab, DEL, C1, line and paragraph separators, bidirectional controls, zero-width and invisible operators.
const HIDDEN =
  /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** One line of foreign text; what cannot be shown is written as `\x1b` or `\u202e`. */
export function clean(text: string): string {
  return text.replace(/\r$/, "").replace(COLOUR, "").replace(HIDDEN, show);
}

/** JSON that is the same data but has no hidden character: those stay `\u` escapes. */
export function cleanJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu,
    (character) => [...character].map(asUnits).join(""),
  );
}

function show(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

function asUnits(character: string): string {
  return Array.from(
    { length: character.length },
    (_none, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
  ).join("");
}
