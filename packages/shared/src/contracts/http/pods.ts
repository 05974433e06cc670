/** Pods: named sets of hosts under this control plane, each with the strategy by which its hosts are filled. */
import { z } from "zod";
import { PodName } from "../../domain/names.ts";
import { route } from "./route.ts";

/** `spread`: work goes where most is free. `binpack`: one host is filled before the next. */
export const PodStrategy = z.enum(["spread", "binpack"]);

export const Pod = z.strictObject({
  name: PodName,
  strategy: PodStrategy,
  hostsCount: z.int(),
  environmentsCount: z.int(),
  createdAt: z.string(),
});
export const listPods = route({
  method: "GET",
  path: "/v1/pods",
  role: "operator",
  summary: "Pods with their strategies",
  reply: z.strictObject({ pods: z.array(Pod) }),
});
export const createPod = route({
  method: "POST",
  path: "/v1/pods",
  role: "operator",
  summary: "Make a pod; hosts join it with a token for it",
  body: z.strictObject({ name: PodName, strategy: PodStrategy.default("spread") }),
  reply: Pod,
});
export const changePod = route({
  method: "PATCH",
  path: "/v1/pods/:pod",
  role: "operator",
  summary: "Set a pod's strategy, for what is placed from now on",
  params: z.strictObject({ pod: PodName }),
  body: z.strictObject({ strategy: PodStrategy }),
  reply: Pod,
});
