/** An error for a person: what went wrong, why, what to do next, and the exit code. */
import type { ErrorCode } from "@berth/shared/contracts/errors.ts";

export const EXIT = { failed: 1, usage: 2, notLoggedIn: 3, notFound: 4 } as const;

export class CliError extends Error {
  override name = "CliError";
  readonly next: string | null;
  readonly exitCode: number;
  constructor(message: string, given: { next?: string; exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause: given.cause });
    this.next = given.next ?? null;
    this.exitCode = given.exitCode ?? EXIT.failed;
  }
}

export function usageError(message: string, next?: string): CliError {
  return new CliError(message, { exitCode: EXIT.usage, ...(next === undefined ? {} : { next }) });
}

/** The exit code for an error of the API. */
export function exitCodeOf(code: ErrorCode): number {
  if (code === "unauthenticated") return EXIT.notLoggedIn;
  if (code === "not-found") return EXIT.notFound;
  if (code === "invalid-input" || code === "ambiguous-name") return EXIT.usage;
  return EXIT.failed;
}
