/**
 * What this host serves: its edge and the proxies of environments on it as one. A table counts as served once both were
 * seen to serve it.
 */
import type { RouteTable } from "@berth/shared/contracts/route.ts";
import type { EnvironmentProxies } from "../proxies/environment-proxies.ts";
import type { EdgeTraffic, SlotTraffic } from "./core/edge-traffic.ts";
import type { Acknowledgement, Edge } from "./edge-types.ts";

export interface HostRoutesGiven {
  readonly edge: Edge;
  readonly proxies: Pick<EnvironmentProxies, "apply" | "gate" | "traffic">;
  /** What became true by itself, outside of `apply`. */
  readonly served: (acknowledgements: readonly Acknowledgement[]) => void;
}

export class HostRoutes {
  readonly #given: HostRoutesGiven;

  constructor(given: HostRoutesGiven) {
    this.#given = given;
  }

  /** As `Edge.apply`. Proxies are told at the same time: names are passed on to them only after they were seen to serve them. */
  async apply(
    tables: readonly RouteTable[],
    named?: ReadonlySet<string>,
  ): Promise<readonly Acknowledgement[]> {
    const { edge, proxies } = this.#given;
    const [acknowledged] = await Promise.all([edge.apply(tables, named), proxies.apply(tables)]);
    return acknowledged.flatMap((one) => this.#gated(one));
  }

  known(): Readonly<Record<string, number>> {
    return this.#given.edge.known();
  }

  /** Something of these environments is served since; it is told as far as all of it is. */
  note(acknowledgements: readonly Acknowledgement[]): void {
    this.#given.served(acknowledgements.flatMap((one) => this.#gated(one)));
  }

  /** A proxy serves what it did not before. */
  noteProxy(environmentId: string): void {
    const version = this.#given.edge.status().applied[environmentId];
    if (version !== undefined) this.note([{ environmentId, version }]);
  }

  /** Environment → version that is served. */
  applied(): Record<string, number> {
    const all = Object.entries(this.#given.edge.status().applied);
    const gated = all.flatMap(([environmentId, version]) => this.#gated({ environmentId, version }));
    return Object.fromEntries(gated.map(({ environmentId, version }) => [environmentId, version]));
  }

  /** Of edge and proxies together. One that does not answer counts as in use: nobody is called quiet then. */
  async traffic(): Promise<EdgeTraffic | null> {
    const { edge, proxies } = this.#given;
    const own = await edge.traffic();
    if (own === null) return null;
    const services = new Map(own.services);
    for (const { environmentId, traffic } of await proxies.traffic()) {
      const more = traffic?.services ?? this.#unseen(environmentId);
      for (const [serviceId, counted] of more) services.set(serviceId, sum(services.get(serviceId), counted));
    }
    return { proxyPid: own.proxyPid, services };
  }

  #unseen(environmentId: string): Map<string, SlotTraffic> {
    const table = this.#given.edge.tables().find((one) => one.environmentId === environmentId);
    const services = table?.sites.map(({ serviceId }): string => serviceId) ?? [];
    return new Map(services.map((id) => [id, { sessions: 0, openNow: 1 }]));
  }

  #gated({ environmentId, version }: Acknowledgement): Acknowledgement[] {
    const served = this.#given.proxies.gate(environmentId, version);
    return served === 0 ? [] : [{ environmentId, version: served }];
  }
}

function sum(a: SlotTraffic | undefined, b: SlotTraffic): SlotTraffic {
  return { sessions: (a?.sessions ?? 0) + b.sessions, openNow: (a?.openNow ?? 0) + b.openNow };
}
