/**
 * Reads the part of Heroku's `app.json` that has a meaning here: `formation` (quantity), `env` (values) and
 * `healthchecks` (the path of web). The rest is named in notices, so that nobody believes that it works.
 */
import { z } from "zod";
import { AppFile, toWishes } from "../domain/app-config.ts";
import { VariableName } from "../domain/names.ts";
import type { ReadAppFile } from "./app-file.ts";
import { MAX_APP_FILE_BYTES, type YamlProblem } from "./yaml-file.ts";

/** For people and for Heroku's own pages; nothing runs differently without them. */
const ONLY_WORDS = new Set(["$schema", "name", "description", "keywords", "website", "repository", "logo"]);

const Json = z.looseObject({
  formation: z.record(z.string(), z.looseObject({ quantity: z.int().optional() })).optional(),
  env: z
    .record(z.string(), z.union([z.string(), z.looseObject({ value: z.string().optional() })]))
    .optional(),
  healthchecks: z.record(z.string(), z.array(z.looseObject({ path: z.string().optional() }))).optional(),
});

export interface ReadAppJson {
  readonly result: ReadAppFile;
  readonly notices: readonly string[];
}

export function readAppJson(text: string): ReadAppJson {
  if (Buffer.byteLength(text) > MAX_APP_FILE_BYTES)
    return refused(`the file is larger than ${MAX_APP_FILE_BYTES / 1024} KiB`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return refused(error instanceof Error ? error.message : "is not JSON");
  }
  const parsed = Json.safeParse(value);
  if (!parsed.success)
    return refused(...parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`));
  const notices: string[] = [];
  const file = AppFile.safeParse(toAppFile(parsed.data, notices));
  if (!file.success)
    return refused(...file.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`));
  return { result: { kind: "read", wishes: toWishes(file.data) }, notices };
}

function refused(...texts: string[]): ReadAppJson {
  const problems: YamlProblem[] = texts.map((text) => ({ line: 1, column: 1, text }));
  return { result: { kind: "problems", problems }, notices: [] };
}

function toAppFile(json: z.infer<typeof Json>, notices: string[]): object {
  const processes: Record<string, { scale?: number; health?: string }> = {};
  const { formation = {}, env = {}, healthchecks = {}, ...rest } = json;
  for (const [name, { quantity, ...more }] of Object.entries(formation)) {
    processes[name] = quantity === undefined ? {} : { scale: quantity };
    for (const key of Object.keys(more)) notices.push(`formation.${name}.${key} has no meaning here`);
  }
  for (const [name, checks] of Object.entries(healthchecks)) {
    const path = checks.find((check) => check.path !== undefined)?.path;
    if (name === "web" && path !== undefined) processes.web = { ...processes.web, health: path };
    else notices.push(`healthchecks.${name} has no meaning here: only web is asked, at a path`);
  }
  for (const key of Object.keys(rest)) if (!ONLY_WORDS.has(key)) notices.push(`${key} has no meaning here`);
  return { processes, env: readEnv(env, notices) };
}

function readEnv(env: NonNullable<z.infer<typeof Json>["env"]>, notices: string[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [name, given] of Object.entries(env)) {
    const value = typeof given === "string" ? given : given.value;
    if (!VariableName.safeParse(name).success)
      notices.push(`env.${name} belongs to the platform or is no name`);
    else if (value === undefined) notices.push(`env.${name} has no value; set it: berth vars set ${name}=…`);
    else values[name] = value;
  }
  return values;
}
