/** Names that people choose. They end up in host names, image repositories and git URLs, so they are strict. */
import { z } from "zod";

const nameRule = (what: string, maxLength: number) =>
  z
    .string()
    .min(1, `${what} must not be empty`)
    .max(maxLength, `${what} must have at most ${maxLength} characters`)
    .regex(
      /^[a-z]([a-z0-9-]*[a-z0-9])?$/,
      `${what} must be lower-case letters, digits and hyphens, start with a letter and not end with a hyphen`,
    );

export const OrgName = nameRule("an org's name", 30);
export const EnvironmentName = nameRule("an environment's name", 30);
export const ServiceName = nameRule("a service's name", 30);
export const HostName = nameRule("a host's name", 40);
export const PeerName = nameRule("the name of a person's machine", 40);
export const PodName = nameRule("a pod's name", 30);

/** A Procfile's process type, such as `web`. */
export const ProcessName = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,29}$/, "a process name must be lower-case letters, digits, _ and -, at most 30");

/** Name of a configuration variable, as POSIX allows it. The `BERTH_` prefix and `PORT` belong to the platform. */
export const VariableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "a variable's name must be letters, digits and _, at most 128")
  .refine(
    (name) => !name.startsWith("BERTH_") && name !== "PORT",
    "BERTH_* and PORT are set by the platform",
  );

export const GitCommit = z.string().regex(/^[0-9a-f]{40}$/, "a commit must be 40 hexadecimal digits");

/** `sha256:` and 64 hexadecimal digits. */
export const ImageDigest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, "an image digest must be sha256:<64 hex>");
/** Path in the registry: `<orgId>/<serviceId>`, both lower-case. */
export const ImageRepository = z
  .string()
  .regex(/^[a-z0-9_]+\/[a-z0-9_]+$/)
  .max(100);

/** The label of a service's default host name: `SERVICE-ENVIRONMENT`. */
export function hostnameLabel(service: string, environment: string): string {
  return `${service}-${environment}`;
}
