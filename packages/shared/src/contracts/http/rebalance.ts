/** Evening out the pod: the plan, the order, and how far it came. */
import { z } from "zod";
import { RebalanceId } from "../../domain/ids.ts";
import { route } from "./route.ts";

const Move = z.strictObject({
  /** ORG/ENVIRONMENT/SERVICE */
  service: z.string(),
  /** `web.1` */
  instance: z.string(),
  from: z.string(),
  to: z.string(),
  gain: z.number(),
  reason: z.string(),
});

export const Rebalance = z.strictObject({
  id: RebalanceId,
  cause: z.enum(["requested", "host-ready"]),
  state: z.enum(["waiting", "running", "finished"]),
  reason: z.string().nullable(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
  moves: z.array(Move.extend({ state: z.enum(["moving", "done", "given-up"]), startedAt: z.string() })),
});

export const planRebalance = route({
  method: "GET",
  path: "/v1/rebalance-plan",
  role: "operator",
  summary: "What a rebalance would move now, and why; nothing is moved",
  query: z.strictObject({ limit: z.coerce.number().int().min(1).max(100).default(20) }),
  reply: z.strictObject({ moves: z.array(Move) }),
});
export const startRebalance = route({
  method: "POST",
  path: "/v1/rebalances",
  role: "operator",
  summary: "Even out the pod: one instance after the other, start-first",
  reply: z.strictObject({ id: RebalanceId }),
});
export const listRebalances = route({
  method: "GET",
  path: "/v1/rebalances",
  role: "operator",
  summary: "The last rebalances and their moves, newest first",
  reply: z.strictObject({ rebalances: z.array(Rebalance) }),
});
