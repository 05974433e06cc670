/** Pauses between connection attempts: an app that listens is found within a hundredth of a second. */
export function retryPauseMs(tries: number): number {
  return Math.min(10, 2 ** Math.min(tries, 4));
}
