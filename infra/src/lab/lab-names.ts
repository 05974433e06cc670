/**
 * What a lab's things are called and where they lie. Pure: everything follows from the lab's index, its folder
 * and the host's number, so the record needs no more than these to find all that the lab made.
 */
import { join } from "node:path";
import { labFolder } from "./lab-record.ts";

/** The machine's own address on the lab bridge ends with this. */
const machineNumber = 254;

export interface LabNames {
  readonly bridge: string;
  /** The network of the hosts' own addresses. */
  readonly cidr: string;
  readonly prefixLength: 24;
  readonly machineAddress: string;
  /** Below every controller of the machine's control group tree. */
  readonly cgroup: string;
  /** Set on the bridge, so that a bridge of another lab is never taken for ours. */
  readonly bridgeAlias: string;
}

export interface HostNames {
  readonly address: string;
  readonly netns: string;
  readonly netnsPath: string;
  /** The machine's end of the cable; the host's end is `eth0`. */
  readonly veth: string;
  /** Stays the same over power cuts, as of a real card: the neighbours remember it. */
  readonly mac: string;
  readonly cgroup: string;
  readonly hostDir: string;
  /** At the same path inside and outside of the host. */
  readonly sharedDir: string;
  readonly runDir: string;
  readonly dockerSocket: string;
  readonly supervisorDir: string;
  readonly logPath: string;
  readonly initPidPath: string;
}

export function labNames(stateDir: string, index: number): LabNames {
  return {
    bridge: `berthlab${index}`,
    cidr: `10.99.${index}.0/24`,
    prefixLength: 24,
    machineAddress: `10.99.${index}.${machineNumber}`,
    cgroup: `berthlab${index}`,
    bridgeAlias: `berth lab of ${labFolder(stateDir)}`,
  };
}

export function hostNames(stateDir: string, index: number, number: number): HostNames {
  const name = `h${number}`;
  const hostDir = join(labFolder(stateDir), "hosts", name);
  const sharedDir = join(hostDir, "shared");
  return {
    address: `10.99.${index}.${number}`,
    netns: `berthlab${index}-${name}`,
    netnsPath: `/run/netns/berthlab${index}-${name}`,
    veth: `blab${index}-${name}`,
    mac: `02:be:00:00:${hexOctet(index)}:${hexOctet(number)}`,
    cgroup: `berthlab${index}/${name}`,
    hostDir,
    sharedDir,
    runDir: join(sharedDir, "run"),
    dockerSocket: join(sharedDir, "run", "docker.sock"),
    supervisorDir: join(sharedDir, "supervisor"),
    logPath: join(hostDir, "host.log"),
    initPidPath: join(hostDir, "init.pid"),
  };
}

function hexOctet(value: number): string {
  return value.toString(16).padStart(2, "0");
}

/** Linux refuses longer paths of unix sockets, and says so in a way that nobody understands. */
export const socketPathLimitBytes = 107;
