/** The customer API, version 1: every route. Services and environments are named, not numbered. */
export * from "./accounts.ts";
export * from "./alarms.ts";
export * from "./allow.ts";
export * from "./deploys.ts";
export * from "./egress.ts";
export * from "./events.ts";
export * from "./host-details.ts";
export * from "./hosts.ts";
export * from "./images.ts";
export * from "./links.ts";
export * from "./networks.ts";
export * from "./pods.ts";
export * from "./policies.ts";
export * from "./rebalance.ts";
export * from "./releases.ts";
export * from "./services.ts";
export * from "./tunnels.ts";
