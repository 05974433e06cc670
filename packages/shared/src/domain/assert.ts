/** Assertions for bugs: what they catch must crash the process, never be handled. */

/** Marks the arm of a switch that no value can reach; adding a union member makes it a type error. */
export function assertNever(value: never, what = "value"): never {
  throw new AssertionError(`unexpected ${what}: ${JSON.stringify(value)}`);
}

/** @throws AssertionError when `condition` is false: a bug in this process. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

export class AssertionError extends Error {
  override name = "AssertionError";
}
