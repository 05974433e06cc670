/** Which instances a connection of `berth tunnel` is offered to, in order. Pure. */
export interface Choosable {
  readonly process: string;
  readonly port: number | null;
}

/** Enough to get past a host that just died; each try takes its time. */
const MOST_TRIES = 3;

/**
 * @param process the wanted one; without it `web`, or any where there is no `web`
 * @param turn grows with every connection, so that they are shared out
 */
export function chooseInstances<I extends Choosable>(
  ready: readonly I[],
  process: string | undefined,
  turn: number,
): I[] {
  const wanted = process ?? (ready.some((one) => one.process === "web") ? "web" : undefined);
  const fitting = ready.filter((one) => wanted === undefined || one.process === wanted);
  const first = fitting.length === 0 ? 0 : turn % fitting.length;
  return [...fitting.slice(first), ...fitting.slice(0, first)].slice(0, MOST_TRIES);
}
