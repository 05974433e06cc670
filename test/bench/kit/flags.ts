/** @throws when the flag is no whole number from `least` to `most` */
export function wholeFlag<Flags extends Readonly<Record<string, string | undefined>>>(
  flags: Flags,
  name: keyof Flags & string,
  least: number,
  most: number,
): number {
  const text = flags[name];
  const value = Number(text);
  if (text === undefined || !Number.isInteger(value) || value < least || value > most)
    throw new Error(`--${name} must be a whole number from ${least} to ${most}, not ${text}`);
  return value;
}
