/** Every key of the activator's configuration. */
import { key } from "@berth/shared/kit/config.ts";
import { z } from "zod";

const path = z.string().startsWith("/", "must be an absolute path");
const count = z.coerce.number().int().min(1).max(20_000);
const ms = z.coerce.number().int().min(100).max(600_000);

export const ActivatorConfig = {
  hostDir: key("BERTH_HOST_DIR", path, { why: "the agent's socket" }),
  stateDir: key("BERTH_STATE_DIR", path, {
    why: "keeps the port, so that the edge's configuration stays true",
  }),
  heldPerService: key("BERTH_ACTIVATOR_HELD_PER_SERVICE", count, {
    default: 2000,
    why: "most requests held for one host name; past it 503 with Retry-After",
  }),
  heldInAll: key("BERTH_ACTIVATOR_HELD_IN_ALL", count, {
    default: 5000,
    why: "most requests held: each is a connection and up to 80 kB",
  }),
  longestHoldMs: key("BERTH_ACTIVATOR_LONGEST_HOLD_MS", ms, {
    default: 60_000,
    why: "a request that waited so long for its service is answered 503",
  }),
} as const;
