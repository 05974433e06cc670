/** Requests through a host's edge, as a visitor's browser makes them; the host name is not asked of a resolver. */
import { request } from "node:http";
import { until } from "../git/until.ts";

const edgePort = 8000;

export interface Answer {
  readonly status: number;
  readonly body: string;
}

export function get(hostAddress: string, url: string, timeoutMs = 5000): Promise<Answer> {
  const asked = new URL(url);
  return new Promise((resolve, reject) => {
    const call = request(
      {
        ...{ host: hostAddress, port: edgePort, path: `${asked.pathname}${asked.search}` },
        ...{ headers: { host: asked.host }, timeout: timeoutMs, agent: false },
      },
      (reply) => {
        let body = "";
        reply.setEncoding("utf8").on("data", (chunk: string) => {
          body += chunk;
        });
        reply.on("end", () => resolve({ status: reply.statusCode ?? 0, body }));
        reply.on("error", reject);
      },
    );
    call.on("timeout", () => call.destroy(new Error(`no answer from ${url} within ${timeoutMs} ms`)));
    call.on("error", reject);
    call.end();
  });
}

/** Asks until the answer is wanted. @throws Error with the last answer */
export async function getUntil(
  hostAddress: string,
  url: string,
  wanted: (answer: Answer) => boolean,
  timeoutMs = 20_000,
): Promise<Answer> {
  let last: Answer | undefined;
  try {
    return await until(
      url,
      async () => {
        last = await get(hostAddress, url).catch((error: unknown) => ({ status: 0, body: String(error) }));
        return wanted(last) ? last : undefined;
      },
      timeoutMs,
    );
  } catch (cause) {
    throw new Error(`${url} through ${hostAddress}: the last answer was ${JSON.stringify(last)}`, { cause });
  }
}

export interface Load {
  /** @returns how many requests were made, and what went wrong */
  stop(): Promise<{ count: number; failures: readonly string[] }>;
}

/** One request after the other until it is stopped. */
export function startLoad(hostAddress: string, url: string): Load {
  let stopped = false;
  const failures: string[] = [];
  let count = 0;
  const run = (async () => {
    while (!stopped) {
      count += 1;
      const answer = await get(hostAddress, url).catch((error: unknown) => ({
        status: 0,
        body: String(error),
      }));
      if (answer.status !== 200) failures.push(`${answer.status} ${answer.body.slice(0, 120)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await run;
      return { count, failures };
    },
  };
}
