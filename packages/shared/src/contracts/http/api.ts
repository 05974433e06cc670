/** The customer API, version 1: every route. Services and environments are named, not numbered. */
export * from "./accounts.ts";
export * from "./deploys.ts";
export * from "./hosts.ts";
export * from "./services.ts";
