/** Allow-lists at the edges: which source networks may reach an environment's services. */
import { z } from "zod";
import { ServiceName } from "../../domain/names.ts";
import { SourceList } from "../../domain/source-list.ts";
import { ENVIRONMENT, EnvironmentPath, SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

/** Null: everybody. */
const Sources = z.array(z.string()).nullable();
const body = z.strictObject({ sources: SourceList.nullable() });

export const showAllow = route({
  method: "GET",
  path: `${ENVIRONMENT}/allow`,
  role: "member",
  summary: "Who may reach the environment's services, and whether every edge holds to it",
  params: EnvironmentPath,
  reply: z.strictObject({
    sources: Sources,
    /** Services with a list of their own, which stands instead of the environment's. */
    services: z.array(z.strictObject({ service: ServiceName, sources: z.array(z.string()) })),
    /** True: every live edge was seen to hold to what is shown here. */
    enforced: z.boolean(),
    /** Hosts whose edge has not said so. */
    waitingFor: z.array(z.string()),
  }),
});

export const changeEnvironmentAllow = route({
  method: "PUT",
  path: `${ENVIRONMENT}/allow`,
  role: "owner",
  summary: "Set who may reach the environment's services",
  params: EnvironmentPath,
  body,
  reply: z.strictObject({ sources: Sources }),
});

export const changeServiceAllow = route({
  method: "PUT",
  path: `${SERVICE}/allow`,
  role: "owner",
  summary: "Set who may reach a service; null: its environment's list",
  params: ServicePath,
  body,
  reply: z.strictObject({ sources: Sources }),
});
