/**
 * Asks an app's /version until it answers 200 with one commit, and tells when that was.
 *
 * One request at a time over kept connections, every 5 ms from the start of the first: what is measured is the
 * app's way to its first answer, and the same question is asked in every arm.
 */
import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

const askEveryMs = 5;
const answerTimeoutMs = 2000;

export interface AskedApp {
  readonly address: string;
  readonly port: number;
  /** The Host header, where an edge decides by it. */
  readonly host?: string;
}

/** @returns `performance.now()` of the first right answer. @throws Error at the deadline, with the last answer */
export async function firstAnswer(
  app: AskedApp,
  commit: string,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const endAtMs = performance.now() + deadlineMs;
  let last = "nothing";
  try {
    while (performance.now() < endAtMs) {
      signal.throwIfAborted();
      const askedAtMs = performance.now();
      const answer = await ask(app, agent);
      if (answer.status === 200 && answer.body.includes(commit)) return performance.now();
      last = `${answer.status} ${answer.body.slice(0, 200)}`;
      await delay(Math.max(0, askEveryMs - (performance.now() - askedAtMs)));
    }
  } finally {
    agent.destroy();
  }
  throw new Error(
    `${app.address}:${app.port} did not answer with commit ${commit} within ${deadlineMs / 1000} s; last: ${last}`,
  );
}

/** A refused or broken connection is an answer too: `status` 0. */
function ask(app: AskedApp, agent: Agent): Promise<{ status: number; body: string }> {
  return new Promise((resolve) => {
    const failed = (error: Error): void => resolve({ status: 0, body: error.message });
    const asked = request(
      {
        ...{ host: app.address, port: app.port, path: "/version", agent, timeout: answerTimeoutMs },
        headers: app.host === undefined ? {} : { host: app.host },
      },
      (reply) => {
        let body = "";
        reply.setEncoding("utf8");
        reply.on("data", (chunk: string) => {
          body += chunk;
        });
        reply.once("error", failed);
        reply.once("end", () => resolve({ status: reply.statusCode ?? 0, body }));
      },
    );
    asked.once("timeout", () => asked.destroy(new Error("no answer in time")));
    asked.once("error", failed);
    asked.end();
  });
}
