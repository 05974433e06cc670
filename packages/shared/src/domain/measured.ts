/** Sizes and times as people write them in berth.yaml: a number and a unit. */
import { z } from "zod";

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** @returns milliseconds, or null when the text is no time */
export function readDuration(text: string): number | null {
  const match = /^(\d{1,7})(ms|s|m|h)$/.exec(text);
  return match === null ? null : Number(match[1]) * (UNITS_MS[match[2] ?? ""] ?? Number.NaN);
}

/** A text with a unit; `read` answers null when it is not one. */
export function measured(
  read: (text: string) => number | null,
  [min, max]: readonly [number, number],
  words: { readonly example: string; readonly range: string },
) {
  return z.union([z.string(), z.number()]).transform((given, context) => {
    const value = typeof given === "string" && /[a-z]/i.test(given) ? read(given) : null;
    if (value !== null && value >= min && value <= max) return value;
    const message =
      value === null
        ? `${JSON.stringify(given)} needs a number with a unit, for example ${words.example}`
        : `must be ${words.range}`;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });
}
