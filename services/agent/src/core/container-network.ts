/**
 * How a job's container comes into its environment's network, as parts of the Engine's create call (docs/adr/0013).
 *
 * A container of runc gets no network of the engine's: the agent lays its cable, and gives it the three files of /etc that
 * the engine would have made. Other runtimes, such as gVisor, take up what is there when they start: the engine connects them.
 */
import { bindMount } from "./bind-mount.ts";

export interface ContainerNetworkGiven {
  readonly runtime: string;
  readonly hostname: string;
  /** In the environment's network. */
  readonly address: string;
  /** The engine's name of it. */
  readonly networkName: string;
  /** Answers for the environment's names, and forwards the rest. */
  readonly resolver: string;
  /** The agent's folder on the host with the files of `etcFiles`. */
  readonly etcFolder: string;
}

/** Where its cable is to lead: the engine knows of no network of it. */
export const ADDRESS_LABEL = "berth.address";

const ETC_FILES = ["hosts", "hostname", "resolv.conf"] as const;
export type EtcFiles = Readonly<Record<(typeof ETC_FILES)[number], string>>;

/** A program that asks for its own name gets its own address. */
export function etcFiles({
  hostname,
  address,
  resolver,
}: Pick<ContainerNetworkGiven, "hostname" | "address" | "resolver">): EtcFiles {
  return {
    hosts: `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${address}\t${hostname}\n`,
    hostname: `${hostname}\n`,
    // The machine's own search list is none of a tenant's business.
    "resolv.conf": `nameserver ${resolver}\n`,
  };
}

export const RUNC = "runc";

export function containerNetwork(given: ContainerNetworkGiven) {
  return given.runtime === RUNC ? cabled(given) : connected(given);
}

function cabled({ address, etcFolder }: ContainerNetworkGiven) {
  const mounts = ETC_FILES.map((name) =>
    bindMount(`${etcFolder}/${name}`, `/etc/${name}`, { readOnly: true }),
  );
  // With a network of mode `none` alone the engine runs its own program once more per start.
  return {
    ...{ labels: { [ADDRESS_LABEL]: address }, mounts },
    ...{ body: { NetworkDisabled: true }, hostConfig: { NetworkMode: "none" } },
  };
}

function connected({ hostname, address, networkName, resolver }: ContainerNetworkGiven) {
  const endpoints = { [networkName]: { IPAMConfig: { IPv4Address: address } } };
  const names = { Dns: [resolver], DnsSearch: ["."], ExtraHosts: [`${hostname}:${address}`] };
  return {
    ...{ labels: {}, mounts: [], body: { NetworkingConfig: { EndpointsConfig: endpoints } } },
    hostConfig: { NetworkMode: networkName, ...names },
  };
}
