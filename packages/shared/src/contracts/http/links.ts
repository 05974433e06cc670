/**
 * Links between environments: one side offers a port of a service, the other accepts it. Neither learns anything of the
 * other, not even that it exists, before both agree.
 */
import { z } from "zod";
import { EnvironmentName, OrgName, ServiceName } from "../../domain/names.ts";
import { IsHeld } from "./networks.ts";
import { ENVIRONMENT, EnvironmentPath } from "./paths.ts";
import { route } from "./route.ts";

const Port = z.int().min(1).max(65_535);
/** `waiting`: the other side has not agreed, or does not exist. */
const LinkState = z.enum(["waiting", "standing"]);

const Offer = z.strictObject({
  service: ServiceName,
  port: Port,
  to: z.strictObject({ org: OrgName, environment: EnvironmentName }),
});
const Accepted = z.strictObject({
  org: OrgName,
  environment: EnvironmentName,
  service: ServiceName,
  port: Port,
});

export const listLinks = route({
  method: "GET",
  path: `${ENVIRONMENT}/links`,
  role: "member",
  summary: "What the environment offers to others and accepts of them",
  params: EnvironmentPath,
  reply: z.strictObject({
    offers: z.array(Offer.extend({ state: LinkState, since: z.string() })),
    /** `hostname`: what its containers connect to. */
    accepted: z.array(Accepted.extend({ hostname: z.string(), state: LinkState, since: z.string() })),
  }),
});

export const offerLink = route({
  method: "POST",
  path: `${ENVIRONMENT}/links/offer`,
  role: "owner",
  summary: "Offer a service's port to another environment",
  params: EnvironmentPath,
  body: Offer,
  reply: z.strictObject({ state: LinkState, isHeld: IsHeld }),
});

export const withdrawLink = route({
  method: "POST",
  path: `${ENVIRONMENT}/links/withdraw`,
  role: "owner",
  summary: "Take an offer back: what is open through it is cut",
  params: EnvironmentPath,
  body: Offer,
  reply: z.strictObject({ isHeld: IsHeld }),
});

export const acceptLink = route({
  method: "POST",
  path: `${ENVIRONMENT}/links/accept`,
  role: "owner",
  summary: "Accept another environment's offer",
  params: EnvironmentPath,
  body: Accepted,
  reply: z.strictObject({ state: LinkState, hostname: z.string(), isHeld: IsHeld }),
});

export const leaveLink = route({
  method: "POST",
  path: `${ENVIRONMENT}/links/leave`,
  role: "owner",
  summary: "Accept no longer: what is open through it is cut",
  params: EnvironmentPath,
  body: Accepted,
  reply: z.strictObject({ isHeld: IsHeld }),
});
