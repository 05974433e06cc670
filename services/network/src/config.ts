/** Every key of the network service's configuration. */

import { parseCidr } from "@berth/shared/domain/cidr.ts";
import type { ConfigOf } from "@berth/shared/kit/config.ts";
import { key } from "@berth/shared/kit/config.ts";
import { Secret } from "@berth/shared/kit/secret.ts";
import { z } from "zod";

const path = z.string().startsWith("/");
const milliseconds = z.coerce.number().int().min(10).max(86_400_000);
const network = z
  .string()
  .refine((text) => parseCidr(text) !== null, "must be a network such as 10.128.0.0/10");
const bits = z.coerce.number().int().min(8).max(30);
const port = z.coerce.number().int().min(1024).max(65_535);

export const NetworkConfig = {
  databaseUrl: key(
    "BERTH_DATABASE_URL",
    z.url().transform((url) => new Secret(url)),
    { why: "PostgreSQL, as the role berth_network" },
  ),
  natsUrl: key("BERTH_NATS_URL", z.string().min(1), { why: "the bus" }),
  natsCredsFile: key("BERTH_NATS_CREDS", path, { why: "the network service's user on the bus" }),
  natsCaFile: key("BERTH_NATS_CA", path, { why: "the pod's CA" }),
  podCidr: key("BERTH_POD_CIDR", network, {
    default: "10.128.0.0/10",
    why: "addresses of all environments; not to be used by any other network that a host reaches",
  }),
  hostCidr: key("BERTH_HOST_CIDR", network, {
    default: "10.127.0.0/16",
    why: "the hosts' own subnets, which the api gives; told to hosts with every mesh",
  }),
  environmentBits: key("BERTH_NETWORK_ENVIRONMENT_BITS", bits, {
    default: "19",
    why: "size of an environment's subnet: 512 environments in a /10",
  }),
  sliceBits: key("BERTH_NETWORK_SLICE_BITS", bits, {
    default: "24",
    why: "size of a host's slice of an environment: more addresses than a host has job slots",
  }),
  firstPort: key("BERTH_NETWORK_FIRST_PORT", port, {
    default: "21000",
    why: "lowest UDP port of an environment's tunnels; below the ports that Linux gives to clients",
  }),
  portsCount: key("BERTH_NETWORK_PORTS", z.coerce.number().int().min(1).max(10_000), {
    default: "2000",
    why: "how many UDP ports of a host environments may take",
  }),
  quarantineMs: key("BERTH_NETWORK_QUARANTINE_MS", milliseconds, {
    default: "600000",
    why: "how long a released slice or subnet is given to nobody: caches and late packets forget it meanwhile",
  }),
  watchEveryMs: key("BERTH_NETWORK_WATCH_EVERY_MS", milliseconds, {
    default: "200",
    why: "how often the newest change of a job is looked at: a name follows its instance within this",
  }),
  wholeEveryMs: key("BERTH_NETWORK_WHOLE_EVERY_MS", milliseconds, {
    default: "20000",
    why: "how often all networks are made anew from what is stored, whether or not something changed",
  }),
};
export type NetworkConfig = ConfigOf<typeof NetworkConfig>;
