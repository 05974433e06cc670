/** Deploys of ready images, and the right to push one. */
import { z } from "zod";
import { DeployId } from "../../domain/ids.ts";
import { ImageName } from "../../domain/image-reference.ts";
import { SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

export const deployImage = route({
  method: "POST",
  path: `${SERVICE}/images`,
  role: "member",
  summary: "Deploy a ready image: one pushed to the service's own repository, or one of a public registry",
  params: ServicePath,
  body: z.strictObject({ image: ImageName }),
  reply: z.strictObject({ deployId: DeployId, image: z.string() }),
});

export const createRegistryToken = route({
  method: "POST",
  path: `${SERVICE}/registry-token`,
  role: "member",
  summary: "A token that may push to and pull from the service's own repository, for a short while",
  params: ServicePath,
  reply: z.strictObject({
    /** `host:port` */
    registry: z.string(),
    repository: z.string(),
    token: z.string(),
    expiresAtMs: z.number(),
    /** The authority under which the registry's certificate is. */
    caCertificatePem: z.string(),
  }),
});
