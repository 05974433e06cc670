/**
 * The file that a job's shell reads before it starts the app: one `export NAME='value'` per line.
 *
 * Values are hostile: whatever they hold, the shell must see exactly these bytes and run nothing.
 */
import type { JobSpec } from "@berth/shared/contracts/job.ts";

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
/** The kernel takes at most 128 KiB for `NAME=value`. */
const MAX_VALUE_BYTES = 120_000;

export type EnvFile =
  | { readonly kind: "rendered"; readonly text: string }
  | { readonly kind: "refused"; readonly reason: string };

/** Single quotes keep every byte as it is; a single quote itself is closed, escaped and opened again. */
export function quoteForShell(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`;
}

/** Variables that the platform gives to every job. */
export function platformVariables(spec: JobSpec): Record<string, string> {
  return {
    PORT: String(spec.profile.port),
    BERTH_SERVICE: spec.serviceName,
    BERTH_ENVIRONMENT: spec.environmentName,
    BERTH_RELEASE: `v${spec.releaseVersion}`,
    ...(spec.commit === null ? {} : { BERTH_COMMIT: spec.commit }),
    BERTH_PROCESS: spec.process,
    BERTH_INSTANCE: `${spec.process}.${spec.slot}`,
  };
}

/** The platform's variables win over the customer's of the same name, and those over the repository's. */
export function renderEnv(spec: JobSpec, variables: Readonly<Record<string, string>>): EnvFile {
  const all = { ...spec.env, ...variables, ...platformVariables(spec) };
  // The init's own setting is not the app's business.
  const lines = ["unset TINI_KILL_PROCESS_GROUP"];
  for (const [name, value] of Object.entries(all)) {
    const problem = problemWith(name, value);
    if (problem !== null) return { kind: "refused", reason: problem };
    lines.push(`export ${name}=${quoteForShell(value)}`);
  }
  return { kind: "rendered", text: `${lines.join("\n")}\n` };
}

function problemWith(name: string, value: string): string | null {
  if (!NAME.test(name))
    return `a variable's name is not letters, digits and _: ${JSON.stringify(name.slice(0, 40))}`;
  if (value.includes("\0")) return `the variable ${name} contains a NUL byte, which no environment can hold`;
  if (new TextEncoder().encode(value).length > MAX_VALUE_BYTES)
    return `the variable ${name} is longer than ${MAX_VALUE_BYTES} bytes`;
  return null;
}
