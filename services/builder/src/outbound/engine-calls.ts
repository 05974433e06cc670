/** How calls to the Docker Engine are made: each with a deadline or an abort signal, and "not there" as an answer. */
const CALL_TIMEOUT_MS = 60_000;

/** Rejects with the signal's reason as soon as it fires; the call itself may go on in the engine. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

export async function deadline<T>(work: Promise<T>, what: string): Promise<T> {
  const timer = AbortSignal.timeout(CALL_TIMEOUT_MS);
  try {
    return await abortable(work, timer);
  } catch (error) {
    if (!timer.aborted) throw error;
    throw new Error(`the Docker Engine did not answer within ${String(CALL_TIMEOUT_MS)} ms: ${what}`, {
      cause: error,
    });
  }
}

export async function missingAsNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    const status = (error as { statusCode?: number }).statusCode;
    // 409: its removal is already on the way.
    if (status === 404 || status === 409) return null;
    throw error;
  }
}
