/**
 * Ctrl-C and SIGTERM for commands that change the machine: the first asks for a stop at the next safe place, the
 * second ends at once (everything that Berth makes can be made again over a half-made one).
 */
const exitCode = 130;

export function interruptSignal(say: (line: string) => void): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(exitCode);
    say("stopping at the next safe place; once more to stop at once");
    controller.abort(new Error("interrupted"));
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return controller.signal;
}
