/** What an environment's containers may reach outside of the pod. */
import { z } from "zod";
import { EgressPolicy } from "../../domain/egress-policy.ts";
import { ENVIRONMENT, EnvironmentPath } from "./paths.ts";
import { route } from "./route.ts";

export const showEgress = route({
  method: "GET",
  path: `${ENVIRONMENT}/egress`,
  role: "member",
  summary: "Where the environment's containers may connect to",
  params: EnvironmentPath,
  reply: z.strictObject({ policy: EgressPolicy }),
});

export const changeEgress = route({
  method: "PUT",
  path: `${ENVIRONMENT}/egress`,
  role: "owner",
  summary: "Set where the environment's containers may connect to; open connections follow",
  params: EnvironmentPath,
  body: EgressPolicy,
  reply: z.strictObject({ policy: EgressPolicy }),
});
