/** Follows the progress of a pull: errors arrive inside the stream, and a stream that says nothing is stuck. */

export class PullError extends Error {
  override name = "PullError";
}

interface ProgressLine {
  readonly error?: string;
  readonly errorDetail?: { readonly message?: string };
}

/**
 * @param stallMs the pull is given up when no progress came for this long
 * @throws PullError with the engine's own message
 */
export async function followPull(stream: NodeJS.ReadableStream, stallMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const destroy = (stream as unknown as { destroy(error?: Error): void }).destroy.bind(stream);
  const armed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => destroy(new PullError(`no progress for ${stallMs / 1000} s`)), stallMs);
  };
  armed();
  let rest = "";
  try {
    for await (const chunk of stream) {
      armed();
      const lines = (rest + String(chunk)).split("\n");
      rest = (lines.pop() ?? "").slice(-100_000);
      for (const line of lines) throwIfError(line);
    }
    throwIfError(rest);
  } finally {
    clearTimeout(timer);
  }
}

function throwIfError(line: string): void {
  if (line.trim() === "") return;
  let parsed: ProgressLine;
  try {
    parsed = JSON.parse(line) as ProgressLine;
  } catch {
    return;
  }
  const message = parsed.errorDetail?.message ?? parsed.error;
  if (message !== undefined) throw new PullError(message.slice(0, 500));
}
