/** What an image says of itself, as the container profile needs it. */
import type { ImageProfile } from "@berth/shared/contracts/build.ts";

/** The port of apps that do not say otherwise. */
export const DEFAULT_PORT = 8080;

export function imageProfile(facts: {
  readonly user: string;
  readonly exposedPorts: readonly number[];
  readonly labels: Readonly<Record<string, string>>;
}): ImageProfile {
  const [onlyPort, ...morePorts] = facts.exposedPorts;
  return {
    port: onlyPort !== undefined && morePorts.length === 0 ? onlyPort : DEFAULT_PORT,
    rootFilesystem: facts.labels["berth.root-filesystem"] === "read-only" ? "read-only" : "writable",
    runsAsRoot: /^(?:|root|0)(?::.*)?$/.test(facts.user),
  };
}
