/** Path and query parts that several routes share. */
import { z } from "zod";
import { DeployId } from "../../domain/ids.ts";
import { EnvironmentName, OrgName, ServiceName } from "../../domain/names.ts";

export const Page = z.strictObject({ limit: z.coerce.number().int().min(1).max(200).default(50) });
export const OrgPath = z.strictObject({ org: OrgName });
export const EnvironmentPath = z.strictObject({ org: OrgName, environment: EnvironmentName });
export const ServicePath = EnvironmentPath.extend({ service: ServiceName });
export const DeployPath = z.strictObject({ deployId: DeployId });

export const ENVIRONMENT = "/v1/orgs/:org/environments/:environment";
export const SERVICE = `${ENVIRONMENT}/services/:service`;
