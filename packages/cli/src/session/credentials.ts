/**
 * Who this machine's user is to Berth: `~/.config/berth/credentials.json` (readable by the user only), overruled by
 * BERTH_API and BERTH_TOKEN. Settings that are no secret lie beside it.
 */
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { CliError } from "./cli-error.ts";

export const DEFAULT_API = "http://127.0.0.1:7420";

const Credentials = z.object({ apiUrl: z.string(), token: z.string() });
const Settings = z.object({ environment: z.string().optional() });
export type Credentials = z.infer<typeof Credentials>;

export type Env = Readonly<Record<string, string | undefined>>;

export function configDir(env: Env): string {
  return join(env.HOME || homedir(), ".config", "berth");
}

export const credentialsFile = (env: Env) => join(configDir(env), "credentials.json");
const settingsFile = (env: Env) => join(configDir(env), "settings.json");

export async function readSession(env: Env): Promise<{ apiUrl: string; token: string | null }> {
  const stored = await readFileOf(credentialsFile(env), Credentials);
  const apiUrl = env.BERTH_API || stored?.apiUrl || DEFAULT_API;
  // A stored token is for the stored address only: another pod must not be handed it.
  const token = env.BERTH_TOKEN || (stored?.apiUrl === apiUrl ? stored.token : null);
  return { apiUrl, token };
}

export async function writeCredentials(env: Env, credentials: Credentials): Promise<void> {
  await writePrivate(credentialsFile(env), credentials);
}

/** @returns false when there were none */
export async function removeCredentials(env: Env): Promise<boolean> {
  const present = (await readFileOf(credentialsFile(env), Credentials)) !== null;
  await rm(credentialsFile(env), { force: true });
  return present;
}

export async function readDefaultEnvironment(env: Env): Promise<string | undefined> {
  return (await readFileOf(settingsFile(env), Settings))?.environment;
}

export async function writeDefaultEnvironment(env: Env, environment: string): Promise<void> {
  await writePrivate(settingsFile(env), { environment });
}

async function readFileOf<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw new CliError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new CliError(`${path} is damaged`, {
      cause,
      next: `Remove it, then run \`berth login\` again: rm ${path}`,
    });
  }
}

/** Written beside and renamed, so that a crash leaves the old file whole; never readable by others, not even briefly. */
async function writePrivate(path: string, value: object): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const beside = `${path}.${process.pid}`;
  await writeFile(beside, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  await chmod(beside, 0o600);
  await rename(beside, path);
}
