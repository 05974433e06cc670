/**
 * One call to the engine: its deadline and its error.
 *
 * What must stay true: an error with a status is the engine's word about this request; without one the engine did
 * not answer, and the call may have taken effect.
 */

export interface EngineDeadlines {
  readonly callMs: number;
  /** For calls that start, stop or remove. */
  readonly slowCallMs: number;
}

export const ENGINE_DEADLINES: EngineDeadlines = { callMs: 10_000, slowCallMs: 30_000 };

export class EngineError extends Error {
  override name = "EngineError";
  /** HTTP status of the engine's answer; null when it did not answer in time or at all. */
  readonly status: number | null;
  constructor(what: string, status: number | null, cause: unknown) {
    super(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.status = status;
  }
}

export function isUnreachable(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return code === "ECONNREFUSED" || code === "ENOENT" || code === "ECONNRESET";
}

/** What dockerd says when it stops, or when the containerd under it is away: no word about the container. */
const UNWELL =
  /ttrpc: closed|transport is closing|code = unavailable|connection error: desc|context canceled|daemon is shutting down|error while dialing/i;

export function toEngineError(what: string, error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const status = (error as { statusCode?: unknown }).statusCode;
  const isUnwell = typeof status === "number" && status >= 500 && UNWELL.test((error as Error).message);
  return new EngineError(what, typeof status === "number" && !isUnwell ? status : null, error);
}

/** True when the call may have worked although it failed: no answer, or an error of the engine's own. */
export function mayHaveWorked(error: unknown): boolean {
  return error instanceof EngineError && (error.status === null || error.status >= 500);
}

export async function withDeadline<T>(
  what: string,
  deadlineMs: number,
  work: Promise<T>,
  abort: AbortController,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${what} did not end within ${deadlineMs / 1000} s`));
      abort.abort();
    }, deadlineMs);
  });
  work.catch(() => {});
  try {
    return await Promise.race([work, passed]);
  } finally {
    clearTimeout(timer);
  }
}

/** @throws EngineError when the engine refuses, or does not answer in time */
export async function callEngine<T>(
  what: string,
  deadlineMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  try {
    return await withDeadline(what, deadlineMs, work(abort.signal), abort);
  } catch (error) {
    throw toEngineError(what, error);
  }
}

/** The engine is well, and will not do it: what it was asked for is forbidden to it, or is in the way of what is there. */
export function isRefused(error: unknown): boolean {
  return error instanceof EngineError && (error.status === 403 || error.status === 409);
}
