/** Tells the scheduler which services this host's edge saw requests or open connections of. */
import { randomUUID } from "node:crypto";
import { EdgeActivity } from "@berth/shared/contracts/sleep.ts";
import type { HostId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import type { EdgeTraffic, SlotTraffic } from "../edge/core/edge-traffic.ts";

/** A signal may be lost: what was seen is told so often. */
const TOLD_TIMES = 3;
const MOST_ACTIVE = 5000;

export interface ActivityGiven {
  readonly bus: Pick<Bus, "signal">;
  readonly hostId: HostId;
  readonly edge: { traffic(): Promise<EdgeTraffic | null> };
}

export class ActivityWatch {
  readonly #given: ActivityGiven;
  readonly #life = randomUUID().slice(0, 8);
  #before: ReadonlyMap<string, SlotTraffic> = new Map();
  /** Service → how often it is to be told still. */
  readonly #active = new Map<string, number>();

  constructor(given: ActivityGiven) {
    this.#given = given;
  }

  /** An edge whose proxy does not answer says nothing: nobody is called quiet then. */
  readonly tell = async (): Promise<void> => {
    const { bus, hostId, edge } = this.#given;
    const traffic = await edge.traffic();
    if (traffic === null) return;
    for (const [serviceId, now] of traffic.services) {
      if (now.openNow > 0 || now.sessions !== (this.#before.get(serviceId)?.sessions ?? 0))
        this.#active.set(serviceId, TOLD_TIMES);
    }
    this.#before = traffic.services;
    if (this.#active.size > MOST_ACTIVE) return;
    const active = [...this.#active.keys()] as ServiceId[];
    for (const [serviceId, times] of this.#active) {
      if (times > 1) this.#active.set(serviceId, times - 1);
      else this.#active.delete(serviceId);
    }
    const open = [...traffic.services].filter(([, { openNow }]) => openNow > 0).slice(0, MOST_ACTIVE);
    const inFlight = Object.fromEntries(open.map(([serviceId, { openNow }]) => [serviceId, openNow]));
    bus.signal(EdgeActivity, { hostId, watchId: `${this.#life}.${traffic.proxyPid}`, active, inFlight });
  };
}
