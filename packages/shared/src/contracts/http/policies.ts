/** A service's policy: what happens when a host is unreachable, and which hosts may run it. */
import { z } from "zod";
import { DeployId } from "../../domain/ids.ts";
import { ServiceName } from "../../domain/names.ts";
import { ServicePolicy } from "../../domain/service-policy.ts";
import { SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

/** As the customer sees it: the service that it is near has a name. */
const ShownPolicy = ServicePolicy.omit({ nearServiceId: true }).extend({ near: ServiceName.nullable() });
const fields = ServicePolicy.shape;

export const showServicePolicy = route({
  method: "GET",
  path: `${SERVICE}/policy`,
  role: "member",
  summary: "When instances are replaced or stopped, and which hosts may run them",
  params: ServicePath,
  reply: z.strictObject({ policy: ShownPolicy }),
});

export const changeServicePolicy = route({
  method: "PATCH",
  path: `${SERVICE}/policy`,
  role: "member",
  summary: "Change a service's policy; what the hosts must know replaces the running instances",
  params: ServicePath,
  body: z.strictObject({
    replaceAfterMs: fields.replaceAfterMs.unwrap().optional(),
    stopAfterMs: fields.stopAfterMs.unwrap().optional(),
    onReturn: fields.onReturn.unwrap().optional(),
    singleWriter: z.boolean().optional(),
    apart: z.boolean().optional(),
    /** Null removes a label. */
    labels: z
      .record(
        z
          .string()
          .regex(
            /^[a-z]([a-z0-9./-]{0,61}[a-z0-9])?$/,
            "must be lower-case letters, digits, '.', '/' and '-'",
          ),
        z.string().max(63).nullable(),
      )
      .optional(),
    runtime: fields.runtime.unwrap().optional(),
    /** A service of the same environment; null for none. */
    near: ServiceName.nullable().optional(),
    sleepAfterMs: fields.sleepAfterMs.unwrap().optional(),
    sleepLevel: fields.sleepLevel.unwrap().optional(),
    progressDeadlineMs: fields.progressDeadlineMs.unwrap().optional(),
  }),
  reply: z.strictObject({ policy: ShownPolicy, deployId: DeployId.nullable() }),
});
