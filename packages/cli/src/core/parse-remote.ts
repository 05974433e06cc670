/** Reads which service a git URL means: `http://host/ORG/ENVIRONMENT/SERVICE.git`. */
import { EnvironmentName, OrgName, ServiceName } from "@berth/shared/domain/names.ts";

export interface ServiceAddress {
  readonly org: string;
  readonly environment: string;
  readonly service: string;
}

/** @returns null when the URL is not of that form */
export function parseRemote(url: string): ServiceAddress | null {
  const match = /^https?:\/\/[^/]+\/([^/]+)\/([^/]+)\/([^/]+?)(?:\.git)?\/?$/.exec(url.trim());
  if (match === null) return null;
  const [, org = "", environment = "", service = ""] = match;
  const known =
    OrgName.safeParse(org).success &&
    EnvironmentName.safeParse(environment).success &&
    ServiceName.safeParse(service).success;
  return known ? { org, environment, service } : null;
}

/** Reads `ORG/ENVIRONMENT`, or `ENVIRONMENT` alone with an org that must be found out. */
export function parseEnvironment(text: string): { org: string | null; environment: string } | null {
  const parts = text.split("/");
  const [first = "", second] = parts;
  if (parts.length > 2) return null;
  const environment = second ?? first;
  const org = second === undefined ? null : first;
  if (!EnvironmentName.safeParse(environment).success) return null;
  if (org !== null && !OrgName.safeParse(org).success) return null;
  return { org, environment };
}
