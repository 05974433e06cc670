/** How the edges treat a service's requests: shown, and changed at once, without a deploy. */
import { z } from "zod";
import { HttpOptions } from "../../domain/http-options.ts";
import { SERVICE, ServicePath } from "./paths.ts";
import { route } from "./route.ts";

const reply = z.strictObject({
  http: HttpOptions,
  /** True: every live edge was seen to serve what is shown here. */
  acknowledged: z.boolean(),
});

export const showServiceHttp = route({
  method: "GET",
  path: `${SERVICE}/http`,
  role: "member",
  summary: "How the edges treat a service's requests: stickiness, limits, CORS, redirects, headers",
  params: ServicePath,
  reply,
});

export const changeServiceHttp = route({
  method: "PUT",
  path: `${SERVICE}/http`,
  role: "member",
  summary: "Replace how the edges treat a service's requests; counts at once",
  params: ServicePath,
  body: z.strictObject({ http: HttpOptions }),
  reply,
});
