/**
 * Asks a process whether it is ready: one question with its own deadline, and the loop that asks until it is.
 */
import { access } from "node:fs/promises";
import { request } from "node:http";
import { connect as connectTcp, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import type { Readiness } from "./process-spec.ts";

const oneQuestionTimeoutMs = 2000;
const askEveryMs = 50;

export type ReadinessContext = {
  readonly startedAtMs: number;
  /** What the process wrote since its start; null for an adopted process, of which the start is not known. */
  readonly readOutput: () => string | null;
};

export async function isReady(readiness: Readiness, context: ReadinessContext): Promise<boolean> {
  switch (readiness.kind) {
    case "tcp":
      return await answers(connectTcp({ host: readiness.host, port: readiness.port }), "connect");
    case "tls-tcp":
      // Liveness only: nothing is sent over this connection, so an unverified peer learns nothing.
      return await answers(
        connectTls({ host: readiness.host, port: readiness.port, rejectUnauthorized: false }),
        "secureConnect",
      );
    case "unix":
      return await answers(connectTcp({ path: readiness.path }), "connect");
    case "file":
      return await access(readiness.path).then(
        () => true,
        () => false,
      );
    case "http":
      return await answersHttp(readiness.url);
    case "unix-http":
      return await answersHttpOnSocket(readiness.socket, readiness.path);
    case "log":
      return context.readOutput()?.includes(readiness.text) ?? true;
    case "alive":
      return Date.now() - context.startedAtMs >= readiness.forMs;
  }
}

/** Asks until ready. @returns false when `signal` was aborted first. */
export async function waitUntilReady(
  readiness: Readiness,
  context: ReadinessContext,
  signal: AbortSignal,
): Promise<boolean> {
  while (!signal.aborted) {
    if (await isReady(readiness, context)) return true;
    await delay(askEveryMs, undefined, { signal }).catch(() => undefined);
  }
  return false;
}

function answers(socket: Socket, event: "connect" | "secureConnect"): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.setTimeout(oneQuestionTimeoutMs, () => finish(false));
    socket.once(event, () => finish(true));
    socket.once("error", () => finish(false));
  });
}

async function answersHttp(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(oneQuestionTimeoutMs),
      redirect: "manual",
    });
    await response.body?.cancel();
    return response.status < 500;
  } catch {
    return false;
  }
}

function answersHttpOnSocket(socketPath: string, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path, timeout: oneQuestionTimeoutMs }, (response) => {
      response.resume();
      resolve((response.statusCode ?? 500) < 500);
    });
    call.on("timeout", () => call.destroy());
    call.on("error", () => resolve(false));
    call.end();
  });
}
