/** Whether a host may be in an environment's network, and which subnet, slice and port are its own there. Pure. */
import { type Cidr, formatCidr, lowestFree, lowestFreePort, parseCidr } from "@berth/shared/domain/cidr.ts";
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { peopleSlice } from "./people-slice.ts";

export interface Pools {
  readonly podCidr: string;
  readonly hostCidr: string;
  readonly environmentBits: number;
  readonly sliceBits: number;
  readonly firstPort: number;
  readonly portsCount: number;
}

export interface Joining {
  readonly hostId: HostId;
  readonly environmentId: EnvironmentId;
  readonly publicKey: string;
  readonly keyGeneration: number;
  readonly busyPorts: readonly number[];
}

/** What the record has about a join. */
export interface Held {
  readonly host: boolean;
  readonly environment: boolean;
  readonly wanted: boolean;
  /** The environment's, also while it waits in quarantine. */
  readonly subnet: string | null;
  /** Of all environments. */
  readonly subnets: readonly string[];
  /** Of the environment, those in quarantine too. */
  readonly slices: readonly { readonly hostId: string; readonly slice: string; readonly port: number }[];
  /** Ports that the host has for other environments. */
  readonly ports: readonly number[];
}

export interface Place {
  readonly subnet: string;
  readonly slice: string;
  readonly port: number;
}

/** @returns what it had, or the lowest that is free; text: why it is refused */
export function placeMember({ hostId, busyPorts }: Joining, held: Held, pools: Pools): Place | string {
  const refusal = refusalOf(held);
  if (refusal !== null) return refusal;
  const used = [...held.subnets, pools.hostCidr].map(parseCidr).filter(isCidr);
  const subnet =
    parseCidr(held.subnet ?? "") ?? lowestFree(definite(pools.podCidr), pools.environmentBits, used);
  if (subnet === null)
    return `all subnets of ${pools.podCidr} are taken: give the pod a larger BERTH_POD_CIDR`;
  const own = held.slices.find((row) => row.hostId === hostId);
  const taken = held.slices.map((row) => parseCidr(row.slice)).filter(isCidr);
  const slice =
    parseCidr(own?.slice ?? "") ??
    lowestFree(subnet, pools.sliceBits, [...taken, peopleSlice(subnet, pools.sliceBits)]);
  if (slice === null) return `all slices of the environment's subnet ${formatCidr(subnet)} are taken`;
  const { firstPort, portsCount } = pools;
  const keepsPort = own !== undefined && !busyPorts.includes(own.port);
  const port = keepsPort
    ? own.port
    : lowestFreePort(firstPort, portsCount, new Set([...held.ports, ...busyPorts]));
  if (port === null) return `no UDP port is free between ${firstPort} and ${firstPort + portsCount - 1}`;
  return { subnet: formatCidr(subnet), slice: formatCidr(slice), port };
}

/**
 * The record decides who may be in a network: a host that has a job of the environment or of one that is linked to it,
 * is its gateway, or is a member already.
 */
function refusalOf({ host, environment, wanted }: Held): string | null {
  if (!host) return "the host is not one of the pod";
  if (!environment) return "the environment was removed";
  return wanted ? null : "the record places no job of the environment on the host";
}

function definite(cidr: string): Cidr {
  const parsed = parseCidr(cidr);
  if (parsed === null) throw new Error(`not a network: ${cidr}`);
  return parsed;
}

function isCidr(cidr: Cidr | null): cidr is Cidr {
  return cidr !== null;
}
