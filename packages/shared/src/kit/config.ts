/**
 * A service's configuration: every key with its environment variable, schema, default and reason, read once in main.
 */
import type { z } from "zod";

export interface ConfigKey<S extends z.ZodType = z.ZodType> {
  readonly env: string;
  readonly schema: S;
  readonly default?: z.input<S>;
  readonly why: string;
}

export type ConfigSpec = Readonly<Record<string, ConfigKey>>;
export type ConfigOf<Spec extends ConfigSpec> = { readonly [K in keyof Spec]: z.output<Spec[K]["schema"]> };

export function key<S extends z.ZodType>(
  env: string,
  schema: S,
  given: { default?: z.input<S>; why: string },
): ConfigKey<S> {
  return { env, schema, ...given };
}

export class ConfigError extends Error {
  override name = "ConfigError";
}

/**
 * @throws ConfigError that names every wrong variable, what is wrong with it and what it is for
 */
export function parseConfig<Spec extends ConfigSpec>(
  spec: Spec,
  env: Readonly<Record<string, string | undefined>>,
): ConfigOf<Spec> {
  const problems: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(spec)) {
    const raw = env[entry.env];
    const value = raw === undefined || raw === "" ? entry.default : raw;
    const parsed = entry.schema.safeParse(value);
    if (parsed.success) config[name] = parsed.data;
    else
      problems.push(
        `${entry.env}: ${parsed.error.issues.map((issue) => issue.message).join("; ")} (${entry.why})`,
      );
  }
  if (problems.length > 0) throw new ConfigError(`the configuration is wrong:\n  ${problems.join("\n  ")}`);
  return config as ConfigOf<Spec>;
}
