/** Plain progress lines for a terminal or a log. Nothing that needs a terminal: output is often piped. */
export type Progress = (line: string) => void;

/** Nothing that works is silent for longer than this. */
const quietMs = 8000;

/** Runs a step and says how long it took: "postgres: initialised in 2.1 s". */
export async function timed<T>(progress: Progress, what: string, step: () => Promise<T>): Promise<T> {
  const startedAtMs = performance.now();
  const result = await step();
  progress(`${what} in ${seconds(performance.now() - startedAtMs)}`);
  return result;
}

/**
 * Runs a step that may be silent for long, and says every few seconds that it still works, on what and since when.
 * What the step tells through `tell` counts as a sign of life.
 */
export async function withHeartbeat<T>(
  progress: Progress,
  what: string | (() => string),
  step: (tell: Progress) => Promise<T>,
): Promise<T> {
  const startedAtMs = performance.now();
  let toldAtMs = startedAtMs;
  const tell: Progress = (line) => {
    toldAtMs = performance.now();
    progress(line);
  };
  const timer = setInterval(() => {
    const nowMs = performance.now();
    if (nowMs - toldAtMs < quietMs) return;
    tell(`  still ${typeof what === "string" ? what : what()} (${seconds(nowMs - startedAtMs)})`);
  }, 500);
  try {
    return await step(tell);
  } finally {
    clearInterval(timer);
  }
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
