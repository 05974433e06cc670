/**
 * Which Docker Engine the pod uses: the one that answers on its socket, else Debian's docker.io, run by us.
 */
import { request } from "node:http";
import type { Progress } from "../progress.ts";
import { ensurePackages } from "./debian-packages.ts";

const pingTimeoutMs = 3000;
export const systemDockerSocket = "/var/run/docker.sock";

export type EngineChoice =
  | { readonly kind: "running"; readonly socket: string; readonly version: string }
  | { readonly kind: "own" };

/** What `chooseEngine` will want installed, so that it can be installed together with the rest. */
export async function enginePackages(given: string | undefined): Promise<readonly string[]> {
  if (given !== undefined || (await engineVersion(systemDockerSocket)) !== null) return [];
  return ["docker.io"];
}

/** @param given a socket that the operator named: then it must answer. */
export async function chooseEngine(given: string | undefined, progress: Progress): Promise<EngineChoice> {
  const socket = given ?? systemDockerSocket;
  const version = await engineVersion(socket);
  if (version !== null) {
    progress(`using the Docker Engine ${version} that answers at ${socket}`);
    return { kind: "running", socket, version };
  }
  if (given !== undefined)
    throw new Error(
      `no Docker Engine answers at ${given}. Start it, or leave the setting out to let Berth run one.`,
    );
  await ensurePackages(["docker.io", "iptables", "ca-certificates"], progress);
  progress("no Docker Engine answers on this machine: Berth runs its own");
  return { kind: "own" };
}

/** @returns the engine's version, or null when nothing answers. */
export function engineVersion(socketPath: string): Promise<string | null> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path: "/version", timeout: pingTimeoutMs }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve(response.statusCode === 200 ? parseVersion(text) : null));
    });
    call.on("timeout", () => call.destroy());
    call.on("error", () => resolve(null));
    call.end();
  });
}

function parseVersion(text: string): string | null {
  try {
    const { Version } = JSON.parse(text) as { Version?: unknown };
    return typeof Version === "string" ? Version : null;
  } catch {
    return null;
  }
}
