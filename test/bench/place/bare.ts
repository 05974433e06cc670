/**
 * The floor: request-reply by the same client library over the same server, with the bytes of one award and of one
 * answer, nothing parsed, nothing stored.
 */
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { BareConnection } from "@berth/shared/kit/bare-connection.ts";

const timeoutMs = 10_000;

/** `count` requests to hosts in turn, `window` of them under way at any time. @returns the wall time */
export async function requestReplies(
  connection: BareConnection,
  hosts: readonly HostId[],
  payload: string,
  count: number,
  window: number,
): Promise<number> {
  let next = 0;
  const startedAtMs = performance.now();
  const worker = async (): Promise<void> => {
    while (next < count) {
      const host = hosts[next % hosts.length];
      next += 1;
      (await connection.request(`bench.echo.${host}`, payload, { timeout: timeoutMs })).string();
    }
  };
  await Promise.all(Array.from({ length: window }, worker));
  return performance.now() - startedAtMs;
}

/** One request-reply from now. @returns its latency */
export async function oneReply(connection: BareConnection, host: HostId, payload: string): Promise<number> {
  const startedAtMs = performance.now();
  (await connection.request(`bench.echo.${host}`, payload, { timeout: timeoutMs })).string();
  return performance.now() - startedAtMs;
}
