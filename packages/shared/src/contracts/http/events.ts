/** The history: what happened to jobs, deploys and hosts, and who did what. */
import { z } from "zod";
import { EnvironmentName, HostName, OrgName, ServiceName } from "../../domain/names.ts";
import { route } from "./route.ts";

export const HistoryEvent = z.strictObject({
  /** Stable: the same fact has the same id whenever it is read. */
  id: z.string().max(40),
  atMs: z.number(),
  /** `job.running`, `deploy.succeeded`, `host.lost`, `act.host.changed`, … */
  kind: z.string().max(80),
  org: z.string().nullable(),
  environment: z.string().nullable(),
  service: z.string().nullable(),
  host: z.string().nullable(),
  /** `web.1` */
  instance: z.string().nullable(),
  deployId: z.string().nullable(),
  jobId: z.string().nullable(),
  /** Who did it, where a person did. */
  actor: z.string().nullable(),
  /** One sentence for people. */
  text: z.string(),
  details: z.record(z.string(), z.unknown()),
});
export type HistoryEvent = z.infer<typeof HistoryEvent>;

const Filter = z.strictObject({
  org: OrgName.optional(),
  environment: EnvironmentName.optional(),
  service: ServiceName.optional(),
  host: HostName.optional(),
  /** Only what happened after this moment. */
  sinceMs: z.coerce.number().min(0).optional(),
});
export const listEvents = route({
  method: "GET",
  path: "/v1/events",
  role: "member",
  summary: "The history of your orgs, newest first; operators see the whole pod's",
  query: Filter.extend({
    limit: z.coerce.number().int().min(1).max(1000).default(100),
    /** The `next` of an earlier answer: what came before it. */
    before: z
      .string()
      .max(80)
      .regex(/^\d+(\.\d+)?-[ae]\d+$/, "must be the `next` of an earlier answer")
      .optional(),
  }),
  reply: z.strictObject({
    events: z.array(HistoryEvent),
    /** Null when there is nothing older. */
    next: z.string().nullable(),
  }),
});
export const watchEvents = route({
  method: "GET",
  path: "/v1/events/live",
  role: "member",
  summary: "The history as it happens, from `sinceMs` or now on",
  query: Filter,
  reply: HistoryEvent,
  shape: "events",
});
