/** Says what is being waited for when it takes longer than a moment: a spinner on a terminal, else one line. */

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPINNER_AFTER_MS = 600;
const LINE_AFTER_MS = 2000;
const FRAME_MS = 80;

export async function withProgress<T>(what: string, work: Promise<T>): Promise<T> {
  const stop = process.stderr.isTTY === true ? spin(what) : announce(what);
  try {
    return await work;
  } finally {
    stop();
  }
}

function announce(what: string): () => void {
  const timer = setTimeout(() => process.stderr.write(`berth: ${what} …\n`), LINE_AFTER_MS).unref();
  return () => clearTimeout(timer);
}

function spin(what: string): () => void {
  const startedMs = Date.now();
  let shown = 0;
  const timer = setInterval(() => {
    const passedMs = Date.now() - startedMs;
    if (passedMs < SPINNER_AFTER_MS) return;
    process.stderr.write(
      `\r\u001b[K${FRAMES[shown++ % FRAMES.length]} ${what} (${Math.round(passedMs / 1000)} s)`,
    );
  }, FRAME_MS).unref();
  return () => {
    clearInterval(timer);
    if (shown > 0) process.stderr.write("\r\u001b[K");
  };
}
