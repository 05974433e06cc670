/** The configuration keys that every process on the bus has, and those of every service with a database. */
import { z } from "zod";
import { key } from "./config.ts";

const path = z.string().min(1, "must be a path");

export const BusConfig = {
  stateDir: key("BERTH_STATE_DIR", path, { why: "the service's own folder" }),
  natsUrl: key("BERTH_NATS_URL", z.string().startsWith("tls://", "must start with tls://"), {
    why: "where NATS is",
  }),
  natsCredsFile: key("BERTH_NATS_CREDS", path, { why: "credentials of this service" }),
  natsCaFile: key("BERTH_NATS_CA", path, { why: "the pod's certificate authority" }),
} as const;

export const DatabaseConfig = {
  databaseUrl: key(
    "BERTH_DATABASE_URL",
    z.string().regex(/^postgres(ql)?:\/\//, "must be a postgres:// URL"),
    { why: "the record" },
  ),
} as const;
