/**
 * What is killed, and where. The list is written out, so that a point that somebody adds or renames is missed here
 * by a test, and not silently.
 */

export const roadServices = ["git", "builder", "api", "scheduler", "secrets", "router", "agent"] as const;
export type RoadService = (typeof roadServices)[number];

/** In the order of the road. Without `refused` the deploy must end by itself, with one running instance. */
export const crashCases: readonly {
  readonly service: RoadService;
  readonly point: string;
  /** Dies before anything was promised: the push fails in the client and nothing may have changed. */
  readonly refused?: true;
}[] = [
  { service: "git", point: "git.before-ref-update", refused: true },
  { service: "git", point: "git.after-ref-update" },
  { service: "git", point: "git.after-bundle" },
  { service: "git", point: "git.after-row" },
  { service: "git", point: "outbox.published-not-deleted" },
  { service: "builder", point: "builder.claimed" },
  { service: "builder", point: "builder.fetched" },
  { service: "builder", point: "builder.built" },
  { service: "builder", point: "builder.pushed" },
  { service: "builder", point: "builder.built-not-stored" },
  { service: "builder", point: "builder.stored" },
  { service: "builder", point: "outbox.published-not-deleted" },
  { service: "api", point: "api.release-not-committed" },
  { service: "api", point: "api.release-committed" },
  { service: "api", point: "outbox.published-not-deleted" },
  { service: "scheduler", point: "scheduler.before-steps" },
  { service: "scheduler", point: "scheduler.after-steps" },
  { service: "scheduler", point: "scheduler.awards-stored" },
  { service: "scheduler", point: "scheduler.award-answered" },
  { service: "scheduler", point: "scheduler.observation-stored" },
  { service: "scheduler", point: "outbox.published-not-deleted" },
  { service: "secrets", point: "secrets.push-token-minted" },
  { service: "secrets", point: "secrets.before-delivery" },
  { service: "secrets", point: "secrets.after-delivery" },
  { service: "router", point: "router.table-stored" },
  { service: "router", point: "router.table-told" },
  { service: "router", point: "router.acknowledged" },
  { service: "router", point: "outbox.published-not-deleted" },
  { service: "agent", point: "agent.award-before-ledger" },
  { service: "agent", point: "agent.award-after-ledger" },
  { service: "agent", point: "agent.envelope-stored" },
  { service: "agent", point: "agent.pulled" },
  { service: "agent", point: "agent.created" },
  { service: "agent", point: "agent.started" },
  { service: "agent", point: "agent.ready-not-told" },
  { service: "agent", point: "agent.routes-applied" },
  { service: "agent", point: "agent.stopped-not-removed" },
];

/**
 * Places that one deploy passes several times: to make jobs, to take the new instance in, to let the old one go.
 * How often depends on what one round of a loop finds together, so a later pass may not come.
 */
export const repeatedCases: readonly {
  readonly service: RoadService;
  readonly point: string;
  readonly nth: number;
}[] = [
  ...passes("scheduler", "scheduler.before-steps", 6),
  ...passes("scheduler", "scheduler.after-steps", 6),
  ...passes("scheduler", "scheduler.observation-stored", 6),
  ...passes("router", "router.table-stored", 2),
  ...passes("router", "router.table-told", 2),
  ...passes("router", "router.acknowledged", 2),
  ...passes("agent", "agent.routes-applied", 2),
];

function passes(service: RoadService, point: string, upTo: number) {
  return Array.from({ length: upTo - 1 }, (_, i) => ({ service, point, nth: i + 2 }));
}

/** One of each service: for a quick look (`BERTH_FAULTS=quick`). */
export const quickPoints: ReadonlySet<string> = new Set([
  "git.after-row",
  "builder.built-not-stored",
  "api.release-committed",
  "scheduler.awards-stored",
  "secrets.before-delivery",
  "router.table-stored",
  "agent.created",
]);

/**
 * Cases of different services in turn: a process that ends often is started later each time, as it should be, and
 * this test is not about that.
 */
export function inTurn<C extends { readonly service: RoadService }>(cases: readonly C[]): C[] {
  const queues = roadServices.map((service) => cases.filter((one) => one.service === service));
  const longest = Math.max(...queues.map((queue) => queue.length));
  return Array.from({ length: longest }, (_, i) => queues.flatMap((queue) => queue.slice(i, i + 1))).flat();
}

/** Where a push is, told by the record: the moment at which a part is killed. */
export type Moment = "building" | "starting";

/** A process by its name, or JetStream's store: the server is killed and comes back with nothing. */
export type Part = "nats" | "postgres" | "registry" | "dockerd" | "host-dockerd" | "edge" | "jetstream";

export const everyService = [...roadServices, "logshipper"] as const;

/** The parts below the road, and everything of it at once. */
export const partCases: readonly {
  readonly what: string;
  readonly kill: readonly (Part | (typeof everyService)[number])[];
  readonly at: Moment;
  /** The visitors' own road is cut: their requests fail until it is back. */
  readonly cutsVisitors?: true;
}[] = [
  { what: "nats", kill: ["nats"], at: "building" },
  { what: "nats", kill: ["nats"], at: "starting" },
  { what: "JetStream's store", kill: ["jetstream"], at: "building" },
  { what: "JetStream's store", kill: ["jetstream"], at: "starting" },
  { what: "postgres", kill: ["postgres"], at: "building" },
  { what: "postgres", kill: ["postgres"], at: "starting" },
  { what: "registry", kill: ["registry"], at: "building" },
  { what: "registry", kill: ["registry"], at: "starting" },
  { what: "the engine that builds", kill: ["dockerd"], at: "building" },
  { what: "the host's engine", kill: ["host-dockerd"], at: "starting" },
  { what: "edge", kill: ["edge"], at: "starting", cutsVisitors: true },
  { what: "every service", kill: everyService, at: "building" },
  { what: "every service", kill: everyService, at: "starting" },
  { what: "every service, nats, postgres", kill: [...everyService, "nats", "postgres"], at: "starting" },
  {
    what: "every service, the store, postgres",
    kill: [...everyService, "jetstream", "postgres"],
    at: "starting",
  },
];
