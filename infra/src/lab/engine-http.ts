/** Asks a Docker Engine over its socket. For the two questions that the lab has; what runs containers uses dockerode. */
import { request } from "node:http";
import { z } from "zod";

const askTimeoutMs = 3000;
const answerLimitBytes = 1024 * 1024;

/** @returns the body of a 200 answer, or null when there is none in time. */
export function askEngine(socketPath: string, path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path, timeout: askTimeoutMs }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
        if (body.length > answerLimitBytes) response.destroy();
      });
      response.once("error", () => resolve(null));
      response.once("close", () => resolve(response.statusCode === 200 ? body : null));
    });
    asked.once("timeout", () => asked.destroy());
    asked.once("error", () => resolve(null));
    asked.end();
  });
}

/** dockerd listens long before it serves: only its answer counts. */
export async function engineAnswers(socketPath: string): Promise<boolean> {
  return (await askEngine(socketPath, "/_ping")) !== null;
}

const EngineInfo = z.object({ ServerVersion: z.string(), ContainersRunning: z.int() });

export interface EngineSummary {
  readonly version: string;
  readonly containersRunning: number;
}

export async function engineSummary(socketPath: string): Promise<EngineSummary | null> {
  const body = await askEngine(socketPath, "/info");
  if (body === null) return null;
  const info = EngineInfo.parse(JSON.parse(body));
  return { version: info.ServerVersion, containersRunning: info.ContainersRunning };
}
