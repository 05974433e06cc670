/** Who the caller is, orgs and environments. */
import { z } from "zod";
import { EnvironmentId, OrgId } from "../../domain/ids.ts";
import { EnvironmentName, OrgName, PodName } from "../../domain/names.ts";

import { OrgPath } from "./paths.ts";
import { route } from "./route.ts";

export const WhoAmI = z.strictObject({
  userId: z.string(),
  email: z.string(),
  isOperator: z.boolean(),
  tokenName: z.string(),
  tokenExpiresAt: z.string().nullable(),
  orgs: z.array(z.strictObject({ name: OrgName, role: z.enum(["member", "owner"]) })),
});
export const getWhoAmI = route({
  method: "GET",
  path: "/v1/whoami",
  role: "member",
  summary: "Who the token belongs to",
  reply: WhoAmI,
});

export const Org = z.strictObject({
  id: OrgId,
  name: OrgName,
  role: z.enum(["member", "owner"]),
  createdAt: z.string(),
});
export const listOrgs = route({
  method: "GET",
  path: "/v1/orgs",
  role: "member",
  summary: "Your orgs",
  reply: z.strictObject({ orgs: z.array(Org) }),
});
export const createOrg = route({
  method: "POST",
  path: "/v1/orgs",
  role: "operator",
  summary: "Make an org that you own",
  body: z.strictObject({ name: OrgName }),
  reply: Org,
});

export const Environment = z.strictObject({
  id: EnvironmentId,
  org: OrgName,
  name: EnvironmentName,
  servicesCount: z.int(),
  /** Its jobs run on this pod's hosts only. */
  pod: PodName.default("main"),
  createdAt: z.string(),
});
export const listEnvironments = route({
  method: "GET",
  path: "/v1/environments",
  role: "member",
  summary: "All environments of your orgs",
  reply: z.strictObject({ environments: z.array(Environment) }),
});
export const createEnvironment = route({
  method: "POST",
  path: "/v1/orgs/:org/environments",
  role: "owner",
  summary: "Make an environment",
  params: OrgPath,
  body: z.strictObject({ name: EnvironmentName, pod: PodName.default("main") }),
  reply: Environment,
});
