/** What an environment's containers may reach outside of the pod. */
import { z } from "zod";
import { EgressPolicy } from "../../domain/egress-policy.ts";
import { EnvironmentName, HostName, OrgName } from "../../domain/names.ts";
import { IsHeld } from "./networks.ts";
import { ENVIRONMENT, EnvironmentPath } from "./paths.ts";
import { route } from "./route.ts";

/** `address`: of that host; all that leaves the environment's containers has it. */
const Gateway = z.strictObject({ host: HostName, address: z.ipv4() });

export const showEgress = route({
  method: "GET",
  path: `${ENVIRONMENT}/egress`,
  role: "member",
  summary: "Where the environment's containers may connect to",
  params: EnvironmentPath,
  reply: z.strictObject({
    policy: EgressPolicy,
    /** Null: what leaves has the address of the host that it leaves. */
    gateway: Gateway.nullable(),
  }),
});

export const changeEgress = route({
  method: "PUT",
  path: `${ENVIRONMENT}/egress`,
  role: "owner",
  summary: "Set where the environment's containers may connect to; open connections follow",
  params: EnvironmentPath,
  body: EgressPolicy,
  reply: z.strictObject({ policy: EgressPolicy, isHeld: IsHeld }),
});

export const changeEgressGateway = route({
  method: "PUT",
  path: "/v1/egress-gateways",
  role: "operator",
  summary: "Let an environment's traffic leave through one host, with one of its addresses",
  body: z.strictObject({
    org: OrgName,
    environment: EnvironmentName,
    /** Null: each host's own. Without an address it is the host's own one. */
    gateway: z.strictObject({ host: HostName, address: z.ipv4().optional() }).nullable(),
  }),
  reply: z.strictObject({ gateway: Gateway.nullable(), isHeld: IsHeld }),
});
