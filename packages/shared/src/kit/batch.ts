/**
 * Work that costs much the same for one as for many: one call at a time, and who asks meanwhile shares the next one.
 * Nobody waits for others to come: while there is little to do each is served alone and at once.
 */

interface Asked<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * @param work answers as many results as it was given items, in their order; when it throws, all of its callers get the error
 * @param mostCount items of one call
 */
export function batched<T, R>(
  work: (items: readonly T[]) => Promise<readonly R[]>,
  mostCount: number,
): (item: T) => Promise<R> {
  const waiting: Asked<T, R>[] = [];
  let isRunning = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, mostCount);
      try {
        const results = await work(batch.map(({ item }) => item));
        if (results.length !== batch.length)
          throw new Error(`${results.length} results for ${batch.length} items`);
        for (const [i, { resolve }] of batch.entries()) resolve(results[i] as R);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    isRunning = false;
  };
  return (item) =>
    new Promise<R>((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!isRunning) void run();
    });
}

/** Callers with the same key at the same time share one call; nothing is kept after it. */
export function shared<T>(): (key: string, work: () => Promise<T>) => Promise<T> {
  const underWay = new Map<string, Promise<T>>();
  return (key, work) => {
    const found = underWay.get(key);
    if (found !== undefined) return found;
    const mine = work().finally(() => underWay.delete(key));
    underWay.set(key, mine);
    return mine;
  };
}
