/** Plain progress lines for a terminal or a log. Nothing that needs a terminal: output is often piped. */
export type Progress = (line: string) => void;

/** Runs a step and says how long it took: "postgres: initialised in 2.1 s". */
export async function timed<T>(progress: Progress, what: string, step: () => Promise<T>): Promise<T> {
  const startedAtMs = performance.now();
  const result = await step();
  progress(`${what} in ${seconds(performance.now() - startedAtMs)}`);
  return result;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
