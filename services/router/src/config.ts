/** Every key of the router's configuration. */
import type { ConfigOf } from "@berth/shared/kit/config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { Secret } from "@berth/shared/kit/secret.ts";
import { z } from "zod";

const port = z.coerce.number().int().min(1).max(65_535);
const path = z.string().startsWith("/");
const milliseconds = z.coerce.number().int().min(10).max(600_000);

export const RouterConfig = {
  databaseUrl: key(
    "BERTH_DATABASE_URL",
    z.url().transform((url) => new Secret(url)),
    { why: "PostgreSQL, as the role berth_router" },
  ),
  natsUrl: key("BERTH_NATS_URL", z.string().min(1), { why: "the bus" }),
  natsCredsFile: key("BERTH_NATS_CREDS", path, { why: "the router's user on the bus" }),
  natsCaFile: key("BERTH_NATS_CA", path, { why: "the pod's CA" }),
  podDomain: key("BERTH_POD_DOMAIN", z.string().min(1), {
    default: "berth.localhost",
    why: "domain of the services' host names",
  }),
  edgePort: key("BERTH_EDGE_PORT", port, {
    default: "8000",
    why: "port of the edges, where the first answer is asked for",
  }),
  watchEveryMs: key("BERTH_ROUTER_WATCH_EVERY_MS", milliseconds, {
    default: "100",
    why: "how often the newest change of a job is looked at; heals a lost wake-up",
  }),
  wholeEveryMs: key("BERTH_ROUTER_WHOLE_EVERY_MS", milliseconds, {
    default: "20000",
    why: "how often all tables are made anew from what is stored; those of environments that changed are at once",
  }),
  podCertFile: key("BERTH_ROUTER_POD_CERT_FILE", path.optional(), {
    why: "certificate for names under the pod's domain, with its intermediates; none: they answer plain HTTP only",
  }),
  podKeyFile: key("BERTH_ROUTER_POD_KEY_FILE", path.optional(), { why: "its key" }),
  acmeDirectory: key("BERTH_ROUTER_ACME_DIRECTORY", z.url().startsWith("https://").optional(), {
    why: "directory of the authority that certificates for proved domains are ordered from; none: none are ordered",
  }),
  acmeContact: key("BERTH_ROUTER_ACME_CONTACT", z.email().optional(), {
    why: "whom the authority writes to about the account",
  }),
  acmeKeyFile: key("BERTH_ROUTER_ACME_KEY_FILE", path.optional(), { why: "key of the account, in PEM" }),
  acmeAtOnce: key("BERTH_ROUTER_ACME_AT_ONCE", z.coerce.number().int().min(1).max(50), {
    default: "3",
    why: "most orders under way; authorities limit how many they take",
  }),
  acmePerOrgPerHour: key("BERTH_ROUTER_ACME_PER_ORG_PER_HOUR", z.coerce.number().int().min(1).max(1000), {
    default: "20",
    why: "most orders that one org's domains begin within an hour, renewals and failures among them",
  }),
  probeTimeoutMs: key("BERTH_ROUTER_PROBE_TIMEOUT_MS", milliseconds, {
    default: "10000",
    why: "how long the first answer of a deploy's URL may take",
  }),
};
export type RouterConfig = ConfigOf<typeof RouterConfig>;
