/**
 * Watches every tunnel of the host, heals those that carry nothing back, and tells what it sees.
 *
 * What must stay true: a tunnel that works is never touched, also when the agent at its other end is away.
 */
import type { TunnelReport } from "@berth/shared/contracts/network.ts";
import { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { healing, healWaitMs, judgePeer } from "./core/judge-peer.ts";
import { addressOfSlice, type DesiredHost, type Peer, type Tunnel } from "./core/network-state.ts";
import type { ObservedPeer, ObservedTunnel } from "./core/plan-network.ts";
import type { HostNetworks } from "./host-networks.ts";
import type { ProbePath, Prober } from "./shell/prober.ts";
import type { Wireguard } from "./shell/wireguard.ts";

export interface TunnelWatchGiven {
  readonly networks: HostNetworks;
  readonly wireguard: Wireguard;
  readonly prober: Prober;
  readonly clock: Clock;
  readonly log: Log;
}

/** One end of one tunnel to one other host. */
interface End {
  readonly key: string;
  readonly environmentId: EnvironmentId | null;
  readonly tunnel: Tunnel;
  readonly peer: Peer;
  readonly path: ProbePath;
}

interface Memory {
  readonly sinceMs: number;
  readonly rxBytes: number;
  readonly rxAtMs: number | null;
  readonly healedCount: number;
  /** Healings in a row: nothing was heard between them. */
  readonly triedCount: number;
}

export class TunnelWatch {
  readonly #given: TunnelWatchGiven;
  readonly #memories = new Map<string, Memory>();
  #reports: readonly TunnelReport[] = [];

  constructor(given: TunnelWatchGiven) {
    this.#given = given;
  }

  /** What the last look saw. */
  get reports(): readonly TunnelReport[] {
    return this.#reports;
  }

  readonly probe = async (): Promise<void> => {
    const desired = this.#given.networks.desired();
    const ends = Object.groupBy(desired === null ? [] : endsOf(desired), (end) =>
      this.#rests(end) ? "quiet" : "asked",
    );
    const paths = (some: readonly End[] = []): ProbePath[] => some.map(({ path }) => path);
    this.#given.prober.round(paths(ends.asked), paths(ends.quiet));
  };

  #rests({ environmentId }: End): boolean {
    return environmentId !== null && this.#given.networks.resting.has(environmentId);
  }

  /**
   * Goes by what the networks' last look saw of the tunnels.
   * @param hostRests nobody uses any of them: none is judged
   */
  readonly look = async (hostRests: boolean): Promise<void> => {
    const desired = this.#given.networks.desired();
    const ends = desired === null ? [] : endsOf(desired);
    const keys = new Set(ends.map(({ key }) => key));
    for (const key of this.#memories.keys()) if (!keys.has(key)) this.#memories.delete(key);
    const observed = new Map(this.#given.networks.tunnels.map((tunnel) => [tunnel.name, tunnel]));
    const reports: TunnelReport[] = [];
    for (const end of ends) {
      const found = peerOf(observed, end);
      if (found === undefined) continue;
      const rests = hostRests || this.#rests(end);
      reports.push(rests ? this.#leave(end, found) : await this.#lookAt(end, found));
    }
    this.#reports = reports;
  };

  /** After its rest it is as if it were made then: probes have time to be answered. */
  #leave({ key, environmentId, peer }: End, { handshakeAtMs, rxBytes, txBytes }: ObservedPeer): TunnelReport {
    this.#memories.delete(key);
    return {
      ...{
        environmentId,
        peer: HostId.parse(peer.hostId),
        state: "resting",
        handshakeAtMs,
        rxBytes,
        txBytes,
      },
      ...{ latencyMs: null, sentCount: 0, lostCount: 0, healedCount: 0 },
    };
  }

  async #lookAt(end: End, found: ObservedPeer): Promise<TunnelReport> {
    const { prober, clock } = this.#given;
    const nowMs = clock.monotonicMs();
    const memory = this.#remember(end.key, found, nowMs);
    const heardAtMs = latest(prober.heardAtMs(end.key), memory.rxAtMs);
    const state = judgePeer({ nowMs, sinceMs: memory.sinceMs, heardAtMs });
    if (state === "up" && memory.triedCount > 0) {
      this.#given.log.info("tunnel.healed", { of: end.tunnel.name, peer: end.peer.hostId });
      this.#memories.set(end.key, { ...memory, triedCount: 0 });
    }
    const waited = memory.triedCount === 0 || nowMs - memory.sinceMs >= healWaitMs(memory.triedCount);
    if (state === "stalled" && waited) await this.#heal(end, memory, nowMs);
    const { handshakeAtMs, rxBytes, txBytes } = found;
    return {
      ...{ environmentId: end.environmentId, peer: HostId.parse(end.peer.hostId), state },
      ...{ handshakeAtMs, rxBytes, txBytes },
      ...prober.summary(end.key),
      healedCount: this.#memories.get(end.key)?.healedCount ?? 0,
    };
  }

  /** More received bytes are a word from the other end; fewer mean that the interface was made anew. */
  #remember(key: string, { rxBytes }: ObservedPeer, nowMs: number): Memory {
    const before = this.#memories.get(key);
    const memory: Memory =
      before === undefined
        ? { sinceMs: nowMs, rxBytes, rxAtMs: null, healedCount: 0, triedCount: 0 }
        : { ...before, rxBytes, rxAtMs: rxBytes > before.rxBytes ? nowMs : before.rxAtMs };
    this.#memories.set(key, memory);
    return memory;
  }

  async #heal({ key, environmentId, tunnel, peer }: End, memory: Memory, nowMs: number): Promise<void> {
    const { networks, wireguard, log } = this.#given;
    // The mesh's key is told at the agent's start; an environment's may be another one at any time.
    const how = environmentId === null ? "renew-peer" : healing(memory.triedCount);
    log.warn("tunnel.stalled", { of: tunnel.name, peer: peer.hostId, how, triedCount: memory.triedCount });
    this.#memories.set(key, {
      ...memory,
      sinceMs: nowMs,
      healedCount: memory.healedCount + 1,
      triedCount: memory.triedCount + 1,
    });
    if (how === "new-key" && environmentId !== null) await networks.newKey(environmentId);
    else await wireguard.renewPeer(tunnel, peer.publicKey);
  }
}

function endsOf({ networks, mesh, meshAddress }: DesiredHost): End[] {
  const ofMesh = (mesh?.peers ?? []).map((peer) => {
    const key = `mesh ${peer.hostId}`;
    const path = { key, from: meshAddress, to: addressOfSlice(peer.ownSubnet) };
    return { key, environmentId: null, tunnel: mesh as Tunnel, peer, path };
  });
  const ofNetworks = networks.flatMap(({ environmentId, gateway, tunnel }) =>
    (tunnel?.peers ?? []).map((peer) => {
      const key = `${environmentId} ${peer.hostId}`;
      const path = { key, from: gateway, to: addressOfSlice(peer.ownSubnet) };
      return { key, environmentId: EnvironmentId.parse(environmentId), tunnel: tunnel as Tunnel, peer, path };
    }),
  );
  return [...ofMesh, ...ofNetworks];
}

function peerOf(
  observed: ReadonlyMap<string, ObservedTunnel>,
  { tunnel, peer }: End,
): ObservedPeer | undefined {
  return observed.get(tunnel.name)?.peers.find(({ publicKey }) => publicKey === peer.publicKey);
}

function latest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.max(a, b);
}
