/**
 * How long to wait before a process that ended is started again. Pure: the random number is an argument.
 */
export const backOffFirstMs = 100;
export const backOffMaxMs = 30_000;
/** A process that was ready for this long is taken for healthy: its count of failures starts again. */
export const healthyAfterMs = 60_000;

/**
 * @param failures how often in a row it ended, 1 or more.
 * @param random in [0, 1). The wait is between half and the whole of the doubled time, so that
 *   processes that died together do not come back together.
 */
export function backOffMs(failures: number, random: number): number {
  const whole = Math.min(backOffMaxMs, backOffFirstMs * 2 ** Math.min(failures - 1, 20));
  return Math.round(whole / 2 + (whole / 2) * random);
}
