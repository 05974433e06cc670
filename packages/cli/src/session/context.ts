/**
 * Finds out what a command is about. The environment: `--env`, BERTH_ENV, the git remote `berth`, the default of
 * `berth environments use`, or the only one there is. The service: its name, or the git remote's.
 */
import { Client } from "../client.ts";
import type { ServiceAddress } from "../core/parse-remote.ts";
import { parseEnvironment, parseRemote } from "../core/parse-remote.ts";
import { CliError, EXIT, usageError } from "./cli-error.ts";
import type { Env } from "./credentials.ts";
import { readDefaultEnvironment, readSession } from "./credentials.ts";
import { remoteUrl } from "./git.ts";

export interface EnvironmentAddress {
  readonly org: string;
  readonly environment: string;
}

export const REMOTE = "berth";

export async function connect(env: Env = process.env): Promise<Client> {
  return new Client(await readSession(env));
}

export async function findEnvironment(
  client: Client,
  flag: string | undefined,
  env: Env = process.env,
): Promise<EnvironmentAddress> {
  const named = flag || env.BERTH_ENV;
  if (named !== undefined && named !== "") return resolveEnvironment(client, named);
  const remote = await findRemote();
  if (remote !== null) return remote;
  const preset = await readDefaultEnvironment(env);
  if (preset !== undefined) return resolveEnvironment(client, preset);
  const { environments } = await client.call("listEnvironments", {});
  const [only, ...others] = environments;
  if (only !== undefined && others.length === 0) return { org: only.org, environment: only.name };
  if (only === undefined)
    throw new CliError("there is no environment yet", {
      exitCode: EXIT.notFound,
      next: "Make one: `berth environments create ORG/NAME`.",
    });
  throw usageError(
    `which environment? There are: ${environments.map((e) => `${e.org}/${e.name}`).join(", ")}`,
    "Add `--env ORG/ENVIRONMENT`, or choose one for all commands: `berth environments use ORG/ENVIRONMENT`.",
  );
}

/** A name without an org must be the only one of that name. */
export async function resolveEnvironment(client: Client, text: string): Promise<EnvironmentAddress> {
  const parsed = parseEnvironment(text);
  if (parsed === null)
    throw usageError(
      `${JSON.stringify(text)} is not the name of an environment`,
      "Write it as ORG/ENVIRONMENT, for example acme/production.",
    );
  const { org, environment } = parsed;
  if (org !== null) return { org, environment };
  const { environments } = await client.call("listEnvironments", {});
  const found = environments.filter((e) => e.name === environment);
  const [only, ...others] = found;
  if (only === undefined)
    throw new CliError(`there is no environment ${environment} that you can see`, {
      exitCode: EXIT.notFound,
      next: "See `berth environments list`.",
    });
  if (others.length > 0)
    throw usageError(
      `${environment} is in more than one org: ${found.map((e) => `${e.org}/${e.name}`).join(", ")}`,
      "Write it as ORG/ENVIRONMENT.",
    );
  return { org: only.org, environment };
}

export async function findRemote(): Promise<ServiceAddress | null> {
  const url = await remoteUrl(REMOTE);
  return url === null ? null : parseRemote(url);
}

/** @param name the service as given on the command line, or undefined to take the git remote's */
export async function findService(
  client: Client,
  name: string | undefined,
  envFlag: string | undefined,
): Promise<ServiceAddress> {
  if (name !== undefined) return { ...(await findEnvironment(client, envFlag)), service: name };
  const remote = await findRemote();
  if (remote === null) {
    throw usageError(
      "which service?",
      "Name it, or run this inside a git repository that `berth git-remote add SERVICE` was run in.",
    );
  }
  const flag = envFlag || process.env.BERTH_ENV;
  return flag === undefined || flag === ""
    ? remote
    : { ...(await resolveEnvironment(client, flag)), service: remote.service };
}
