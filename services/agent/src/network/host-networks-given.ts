/** What a host's networks are given, ask of the network service, and give to jobs. */
import type { EnvironmentNetwork, Mesh } from "@berth/shared/contracts/network.ts";
import type { EnvironmentId } from "@berth/shared/domain/ids.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { AppliedVersion } from "./applied-versions.ts";
import type { CablePlace } from "./core/container-cable.ts";
import type { HostIdentity } from "./core/network-state.ts";
import type { NetworkFiles } from "./shell/network-files.ts";
import type { NetworkHands } from "./shell/network-hands.ts";
import type { Resolvers } from "./shell/resolvers.ts";

/** What the network service is asked; each may throw when it is away. */
export interface NetworkAsk {
  join(asked: {
    readonly environmentId: EnvironmentId;
    readonly publicKey: string;
    readonly keyGeneration: number;
    readonly busyPorts: number[];
    /** Of the mesh that is known; 0: none is. Then the answer has it. */
    readonly meshVersion: number;
  }): Promise<
    | { answer: "joined"; network: EnvironmentNetwork; mesh: Mesh | null }
    | { answer: "refused"; reason: string }
  >;
  leave(environmentId: EnvironmentId): Promise<void>;
  joinMesh(publicKey: string, port: number): Promise<Mesh>;
  get(
    known: Record<string, number>,
    meshVersion: number,
  ): Promise<{
    versions: Record<string, number>;
    networks: readonly EnvironmentNetwork[];
    mesh: Mesh | null;
    /** Environments whose gateway this host is. */
    gatewayOf: readonly EnvironmentId[];
  }>;
  /** Tells to which versions this host holds; a word that is lost is said again. */
  applied(versions: readonly AppliedVersion[]): void;
}

export interface JobNetwork {
  /** The engine's name of it. */
  readonly networkName: string;
  /** Where containers are in it. */
  readonly place: CablePlace;
  /** Address at which containers ask for names. */
  readonly resolver: string;
}

export interface HostNetworksGiven {
  readonly identity: Omit<HostIdentity, "mtu">;
  readonly hands: NetworkHands;
  readonly resolvers: Resolvers;
  readonly files: NetworkFiles;
  readonly ask: NetworkAsk;
  readonly allowedPrivate: readonly string[];
  readonly mailRelays: readonly string[];
  /** How long an environment without jobs stays joined: a new deploy finds its network standing. */
  readonly leaveAfterMs: number;
  readonly clock: Clock;
  readonly log: Log;
}
