/**
 * The routes of the contract by name, and for each how its object is reached: that is where the caller's
 * membership is checked. A route without an entry here, or without a handler, does not compile.
 */
import * as contract from "@berth/shared/contracts/http/api.ts";
import type { HttpRoute } from "@berth/shared/contracts/http/route.ts";
import type { z } from "zod";

type Contract = typeof contract;
export type RouteName = { [K in keyof Contract]: Contract[K] extends HttpRoute ? K : never }[keyof Contract];
export type Route<N extends RouteName> = Contract[N];
export type EventRouteName = "watchDeploy" | "readLogs" | "watchEvents";
export type SocketRouteName = "openTunnel";
export type JsonRouteName = Exclude<RouteName, EventRouteName | SocketRouteName>;

/**
 * - `anyone`: no token; the body proves the right.
 * - `self`: what the caller is a member of, nothing else is named.
 * - `pod`: things of the whole pod, operators only.
 * - the rest: an object of that kind is named, and found only inside the caller's orgs.
 */
export type Reach = "anyone" | "self" | "pod" | "org" | "environment" | "service" | "deploy" | "build";

export const AUTHORIZATION = {
  getWhoAmI: "self",
  listOrgs: "self",
  createOrg: "pod",
  listEnvironments: "self",
  createEnvironment: "org",
  showNetwork: "environment",
  rotateNetworkKeys: "environment",
  showAllow: "environment",
  changeEnvironmentAllow: "environment",
  changeServiceAllow: "service",
  listDomains: "environment",
  addDomain: "service",
  showDomain: "service",
  verifyDomain: "service",
  changeDomain: "service",
  removeDomain: "service",
  listCertificates: "environment",
  addCertificate: "environment",
  showCertificate: "environment",
  removeCertificate: "environment",
  showEgress: "environment",
  changeEgress: "environment",
  changeEgressGateway: "pod",
  listLinks: "environment",
  offerLink: "environment",
  withdrawLink: "environment",
  acceptLink: "environment",
  leaveLink: "environment",
  listNetworkPeers: "environment",
  addNetworkPeer: "environment",
  removeNetworkPeer: "environment",
  listServices: "environment",
  createService: "environment",
  showService: "service",
  removeService: "service",
  scaleService: "service",
  showMaintenance: "service",
  changeMaintenance: "service",
  showServiceHttp: "service",
  changeServiceHttp: "service",
  showServicePolicy: "service",
  changeServicePolicy: "service",
  serviceStatus: "service",
  whyService: "service",
  listVars: "service",
  changeVars: "service",
  listDeploys: "service",
  showDeploy: "deploy",
  cancelDeploy: "deploy",
  watchDeploy: "deploy",
  listReleases: "service",
  showRelease: "service",
  changeRelease: "service",
  removeRelease: "service",
  rollbackService: "service",
  redeployService: "service",
  restartService: "service",
  deployImage: "service",
  createRegistryToken: "service",
  listCrons: "service",
  runCron: "service",
  listTasks: "service",
  showTask: "service",
  runTask: "service",
  cancelTask: "service",
  sleepService: "service",
  wakeService: "service",
  showBuild: "build",
  readLogs: "service",
  openTunnel: "service",
  listEvents: "self",
  watchEvents: "self",
  listPods: "pod",
  createPod: "pod",
  changePod: "pod",
  listAlarms: "pod",
  planRebalance: "pod",
  startRebalance: "pod",
  listRebalances: "pod",
  listHosts: "pod",
  showHost: "pod",
  hostUsage: "pod",
  changeHost: "pod",
  removeHost: "pod",
  createJoinToken: "pod",
  joinHost: "anyone",
} as const satisfies Record<RouteName, Reach>;

export type Params<N extends RouteName> = z.output<Route<N>["params"]>;
export type Query<N extends RouteName> = z.output<Route<N>["query"]>;
export type Body<N extends RouteName> = z.output<Route<N>["body"]>;
export type Reply<N extends RouteName> = z.input<Route<N>["reply"]>;

function isRoute(value: unknown): value is HttpRoute {
  return (
    typeof value === "object" && value !== null && "method" in value && "path" in value && "reply" in value
  );
}

/** Every route of the contract, found by its shape: a new one appears here by itself. */
export function allRoutes(): [RouteName, HttpRoute][] {
  return Object.entries(contract as Record<string, unknown>).filter(
    (entry): entry is [RouteName, HttpRoute] => isRoute(entry[1]),
  );
}
