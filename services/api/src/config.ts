/** Every key of the api's configuration. */

import { parseCidr } from "@berth/shared/domain/cidr.ts";
import type { ConfigOf } from "@berth/shared/kit/config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { Secret } from "@berth/shared/kit/secret.ts";
import { z } from "zod";

const port = z.coerce.number().int().min(1).max(65_535);
const path = z.string().startsWith("/");

export const ApiConfig = {
  listenHost: key("BERTH_LISTEN_HOST", z.string(), {
    default: "127.0.0.1",
    why: "address that the API listens on",
  }),
  listenPort: key("BERTH_LISTEN_PORT", port, { default: "7420", why: "port that the API listens on" }),
  databaseUrl: key(
    "BERTH_DATABASE_URL",
    z.url().transform((url) => new Secret(url)),
    { why: "PostgreSQL, as the role berth_api" },
  ),
  natsUrl: key("BERTH_NATS_URL", z.string().min(1), { why: "the bus" }),
  natsCredsFile: key("BERTH_NATS_CREDS", path, { why: "the api's user on the bus" }),
  natsCaFile: key("BERTH_NATS_CA", path, { why: "the pod's CA; also handed to hosts that join" }),
  natsPublicUrl: key("BERTH_NATS_PUBLIC_URL", z.string().min(1), {
    why: "address of the bus that joining hosts are told",
  }),
  natsAccountSeedFile: key("BERTH_NATS_ACCOUNT_SEED_FILE", path, {
    why: "signs the bus users of joining hosts",
  }),
  natsAccountJwtFile: key("BERTH_NATS_ACCOUNT_JWT_FILE", path, {
    why: "the account as it was made; revocations are added to it",
  }),
  natsSigningSeedFile: key("BERTH_NATS_SIGNING_SEED_FILE", path, {
    why: "signs the account with the revocations of removed hosts",
  }),
  natsRevokingCredsFile: key("BERTH_NATS_REVOKING_CREDS", path, {
    why: "the user that sends the account to the bus's server",
  }),
  apiPublicUrl: key("BERTH_API_PUBLIC_URL", z.url(), {
    default: "http://127.0.0.1:7420",
    why: "the API's address in its own documentation",
  }),
  gitPublicUrl: key("BERTH_GIT_PUBLIC_URL", z.url(), {
    default: "http://127.0.0.1:7421",
    why: "start of the services' git URLs",
  }),
  podDomain: key("BERTH_POD_DOMAIN", z.string().min(1), {
    default: "berth.localhost",
    why: "domain of the services' host names",
  }),
  edgePort: key("BERTH_EDGE_PORT", port, {
    default: "8000",
    why: "port of the edges, part of the services' URLs",
  }),
  registry: key("BERTH_REGISTRY", z.string().min(1), {
    default: "127.0.0.1:7425",
    why: "host:port of the registry that joining hosts are told",
  }),
  hostCidr: key(
    "BERTH_HOST_CIDR",
    z.string().refine((text) => parseCidr(text) !== null, "must be an IPv4 network such as 10.127.0.0/16"),
    { default: "10.127.0.0/16", why: "the hosts' own subnets, for the traffic between them: a /24 each" },
  ),
  dnsServers: key(
    "BERTH_API_DNS_SERVERS",
    z
      .string()
      .transform((text) => text.split(",").filter((one) => one !== ""))
      .pipe(
        z
          .array(
            z
              .string()
              .regex(/^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:]+\])(:\d{1,5})?$/i, "must be ADDRESS[:PORT], ..."),
          )
          .max(10),
      ),
    { default: "", why: "name servers that are asked for the proofs of domains; empty: the machine's own" },
  ),
  dnsTimeoutMs: key("BERTH_API_DNS_TIMEOUT_MS", z.coerce.number().int().min(100).max(30_000), {
    default: "5000",
    why: "how long one look-up of a proof may take",
  }),
  domainQuarantineDays: key("BERTH_API_DOMAIN_QUARANTINE_DAYS", z.coerce.number().min(0).max(3650), {
    default: "30",
    why: "how long nobody but its former owner may take a domain that was released",
  }),
  domainProofHours: key("BERTH_API_DOMAIN_PROOF_HOURS", z.coerce.number().min(0.01).max(8760), {
    default: "24",
    why: "how often the TXT record of a served domain is looked for again; every hour at most while it is missing",
  }),
  domainGraceDays: key("BERTH_API_DOMAIN_GRACE_DAYS", z.coerce.number().min(0.01).max(365), {
    default: "7",
    why: "how long that record may be missing before the domain is released",
  }),
  domainsPerOrg: key("BERTH_API_DOMAINS_PER_ORG", z.coerce.number().int().min(0).max(10_000), {
    default: "100",
    why: "most custom domains of one org",
  }),
  tunnelIdleMs: key("BERTH_API_TUNNEL_IDLE_MS", z.coerce.number().int().min(1000), {
    default: "900000",
    why: "a connection of `berth tunnel` without a byte for so long ends",
  }),
  tunnelTotalMs: key("BERTH_API_TUNNEL_TOTAL_MS", z.coerce.number().int().min(1000), {
    default: "43200000",
    why: "longest time of one connection of `berth tunnel`",
  }),
  requestsPerSecond: key("BERTH_API_REQUESTS_PER_SECOND", z.coerce.number().min(1), {
    default: "100",
    why: "rate limit per token",
  }),
};
export type ApiConfig = ConfigOf<typeof ApiConfig>;
