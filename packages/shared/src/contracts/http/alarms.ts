/** What an operator should know of the pod. */
import { z } from "zod";
import { route } from "./route.ts";

export const PodAlarm = z.strictObject({
  code: z.enum(["evictions-frozen", "clock-skew", "domain-unproved"]),
  /** A host's id, `pod`, or a domain. */
  subject: z.string(),
  /** The host's name, where it is of one. */
  host: z.string().nullable(),
  detail: z.string(),
  since: z.string(),
  clearedAt: z.string().nullable(),
});

export const listAlarms = route({
  method: "GET",
  path: "/v1/alarms",
  role: "operator",
  summary: "Alarms of the pod: the open ones, with `all` also what is over",
  query: z.strictObject({
    all: z.enum(["0", "1"]).default("0"),
    limit: z.coerce.number().int().min(1).max(200).default(50),
  }),
  reply: z.strictObject({ alarms: z.array(PodAlarm) }),
});
