/** Between which limits, and by what, the count of a process follows its load. */
import { z } from "zod";

const instances = z.int().min(1).max(500);

export const Autoscale = z
  .strictObject({
    min: instances,
    max: instances,
    /** Requests in flight that one instance should have, counted at the edges; null: they do not count. */
    requests: z.number().min(0.1).max(10_000).nullable().default(null),
    /** Per cent of its CPU limit that an instance should use; null: it does not count. */
    cpu: z.int().min(1).max(100).nullable().default(null),
    /** From a change of the count until it may get smaller. */
    cooldownMs: z.int().min(10_000).max(3_600_000).default(60_000),
  })
  .refine(({ min, max }) => min <= max, "min must not be more than max")
  .refine(
    ({ requests, cpu }) => requests !== null || cpu !== null,
    "needs requests or cpu: by what it is to scale",
  );
export type Autoscale = z.infer<typeof Autoscale>;
