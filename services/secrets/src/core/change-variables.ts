/** The next version of a service's variables from the last one and a change. Pure. */
import type { VariableInfo, VarsChange } from "@berth/shared/contracts/secret.ts";

export interface VariableSet {
  readonly values: Readonly<Record<string, string>>;
  readonly infos: readonly VariableInfo[];
}

export const MAX_VARIABLES = 500;
export const MAX_TOTAL_BYTES = 256 * 1024;

export type Change =
  | { readonly kind: "changed"; readonly set: VariableSet }
  | { readonly kind: "refused"; readonly reason: string };

/** @param fingerprintOf keyed hash of a value, for people to see that it changed */
export function changeVariables(
  last: VariableSet,
  change: VarsChange,
  given: {
    readonly nowMs: number;
    readonly changedBy: string;
    readonly fingerprintOf: (name: string, value: string) => string;
  },
): Change {
  const values: Record<string, string> = { ...last.values };
  const infos = new Map(last.infos.map((info) => [info.name, info]));
  for (const name of change.unset) {
    delete values[name];
    infos.delete(name);
  }
  for (const [name, value] of Object.entries(change.set)) {
    if (value.includes("\0"))
      return { kind: "refused", reason: `${name}: a value cannot hold a NUL character` };
    values[name] = value;
    infos.set(name, {
      name,
      fingerprint: given.fingerprintOf(name, value),
      setAtMs: given.nowMs,
      setBy: given.changedBy,
    });
  }
  const count = Object.keys(values).length;
  if (count > MAX_VARIABLES)
    return { kind: "refused", reason: `${count} variables; the limit is ${MAX_VARIABLES}` };
  const bytes = Object.entries(values).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
  if (bytes > MAX_TOTAL_BYTES)
    return { kind: "refused", reason: `${bytes} bytes of variables; the limit is ${MAX_TOTAL_BYTES}` };
  return {
    kind: "changed",
    set: { values, infos: [...infos.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) },
  };
}
