/** One HTTP request to an edge, as a visitor would make it. */
import { request } from "node:http";

export interface ProbeTarget {
  readonly address: string;
  readonly port: number;
  readonly hostname: string;
  readonly timeoutMs: number;
  readonly traceparent: string | null;
}

/** @returns the HTTP status, or 0 when no answer came within the deadline. Never throws. */
export function askEdge(target: ProbeTarget): Promise<number> {
  return new Promise((resolve) => {
    const headers = {
      host: `${target.hostname}:${target.port}`,
      "user-agent": "Berth-First-Response/1",
      ...(target.traceparent === null ? {} : { traceparent: target.traceparent }),
    };
    const options = { host: target.address, port: target.port, path: "/", agent: false, headers };
    const asked = request(options, (answer) => {
      resolve(answer.statusCode ?? 0);
      answer.destroy();
    });
    const timer = setTimeout(() => asked.destroy(), target.timeoutMs);
    asked.on("error", () => resolve(0));
    asked.on("close", () => {
      clearTimeout(timer);
      resolve(0);
    });
    asked.end();
  });
}
