/** What a host's proxies of environments are given, and what is known of one environment's. */
import type { ProxyReport } from "@berth/shared/contracts/route.ts";
import type { HostId } from "@berth/shared/domain/ids.ts";
import type { Engine } from "../outbound/docker.ts";
import { EngineError } from "../outbound/engine-call.ts";
import type { ProxyEngine } from "../outbound/engine-proxies.ts";
import { proxyAddresses } from "./core/proxy-table.ts";
import type { ProxyHost, ProxyInstance } from "./proxy-instance.ts";
import type { ProxyImage } from "./shell/proxy-image.ts";

/** In the environment's network on this host. */
export interface ProxyNetwork {
  readonly networkName: string;
  readonly slice: string;
  readonly gateway: string;
  /** Range of the hosts' addresses in the mesh. */
  readonly hostCidr: string;
}

export interface EnvironmentProxiesGiven extends Omit<ProxyHost, "reload"> {
  /** Folder in memory. */
  readonly dir: string;
  readonly podId: string;
  readonly hostId: HostId;
  readonly engine: Pick<Engine, "create" | "start" | "stop" | "remove" | "inspect">;
  readonly proxyEngine: ProxyEngine;
  readonly image: Pick<ProxyImage, "reference" | "ensure">;
  readonly seccomp: string;
  readonly cgroupParent: string | null;
  /** Stands when this resolves. */
  readonly network: (environmentId: string) => Promise<ProxyNetwork>;
  /** Before a proxy starts and after one ended: addresses of all of them, for the packet filter. */
  readonly addresses: (addresses: readonly string[]) => Promise<void>;
  /** Where the activator listens for the environment; null: nowhere. */
  readonly heldDir: (environmentId: string) => Promise<string | null>;
  readonly started: (containerId: string) => Promise<void>;
  /** What is told of them changed, or what they need. */
  readonly changed: () => void;
}

export interface Known {
  proxies: ProxyInstance[];
  unwantedSinceMs: number | null;
  failures: number;
  notBeforeMs: number;
  told: { readonly report: ProxyReport; readonly atMs: number } | null;
  busy: boolean;
}

/** First that of one that ended, which edges know. */
export function freeAddresses(slice: string, { proxies, told }: Known): string[] {
  const used = new Set(proxies.map(({ facts }) => facts.address));
  const all = proxyAddresses(slice);
  const known = all.filter((address) => address === told?.report.address);
  return [...new Set([...known, ...all])].filter((address) => !used.has(address));
}

export function isAddressTaken(error: unknown): boolean {
  return error instanceof EngineError && /address already in use/i.test(error.message);
}
