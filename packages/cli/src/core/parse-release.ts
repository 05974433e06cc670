/** Reads a release's version as people write it: `v7` or `7`. @returns null when it is neither */
export function parseRelease(text: string): number | null {
  const match = /^v?([1-9]\d{0,8})$/.exec(text);
  return match === null ? null : Number(match[1]);
}
