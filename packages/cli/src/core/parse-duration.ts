/** Reads and writes lengths of time as people say them: `15s`, `2m`, `1h`, `never`. */

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @returns milliseconds, null for `never`, or undefined when the text is no length of time */
export function parseDuration(text: string): number | null | undefined {
  if (text === "never") return null;
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * (UNITS_MS[match[2] ?? ""] ?? Number.NaN);
}

export function formatDuration(ms: number | null): string {
  if (ms === null) return "never";
  const unit = ["d", "h", "m", "s"].find(
    (one) => ms >= (UNITS_MS[one] ?? 0) && ms % (UNITS_MS[one] ?? 1) === 0,
  );
  return unit === undefined ? `${ms}ms` : `${ms / (UNITS_MS[unit] ?? 1)}${unit}`;
}
