/** Reads how a linked service is written: `SERVICE:PORT`, and `ORG/ENVIRONMENT/SERVICE:PORT` of another environment. */
import { EnvironmentName, OrgName, ServiceName } from "@berth/shared/domain/names.ts";

export interface ServicePort {
  readonly service: string;
  readonly port: number;
}

export interface ForeignPort extends ServicePort {
  readonly org: string;
  readonly environment: string;
}

/** @returns null when the text is not of that form */
export function parseServicePort(text: string): ServicePort | null {
  const match = /^([^:/]+):(\d{1,5})$/.exec(text);
  const [service = "", port] = [match?.[1], Number(match?.[2] ?? 0)];
  return ServiceName.safeParse(service).success && port >= 1 && port <= 65_535 ? { service, port } : null;
}

/** @returns null when the text is not of that form */
export function parseForeignPort(text: string): ForeignPort | null {
  const [org = "", environment = "", rest = "", ...more] = text.split("/");
  const named = parseServicePort(rest);
  const known = OrgName.safeParse(org).success && EnvironmentName.safeParse(environment).success;
  return named !== null && known && more.length === 0 ? { org, environment, ...named } : null;
}
