/** What the host's edge is to the rest of the agent. */
import type { RouteSite, RouteTable } from "@berth/shared/contracts/route.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { CertificateSource } from "./core/edge-tls.ts";
import type { EdgeTraffic } from "./core/edge-traffic.ts";
import type { EdgeSettings } from "./core/render-config.ts";

export interface Acknowledgement {
  readonly environmentId: string;
  readonly version: number;
}

export interface EdgeGiven {
  /** Folder for state.json, haproxy.cfg and hosts.map; made when absent. */
  readonly dir: string;
  readonly socketPath: string;
  /** Null: no plain HTTP. */
  readonly port: number | null;
  readonly bindAddress?: string;
  /** Whose proxies are used before those of other hosts. */
  readonly hostId?: string;
  readonly healthPort?: number | null;
  /** HTTPS; without it the edge speaks plain HTTP alone. */
  readonly tls?: {
    readonly port: number;
    /** Where the proxy takes them, where that is another one. */
    readonly listenPort?: number;
    /** Where the proxy finds certificates with their keys when it starts: a folder in memory. */
    readonly dir: string;
    /** What this host has. When more is there, `verify` makes it served. */
    readonly certificates: CertificateSource;
  };
  /** Of an environment's proxy: the edges' addresses, of which each connection says whom it speaks for. */
  readonly onlyFrom?: readonly string[];
  /** Of an environment's proxy: where it finds the activator. */
  readonly activatorSocket?: string;
  readonly size?: EdgeSettings["size"];
  /** Tells the proxy's master to load its files again; without it the master is a process of this host. */
  readonly signalMaster?: (worker: number) => Promise<void>;
  /** Served from the start on. */
  readonly firstTables?: readonly RouteTable[];
  /** Load balancers whose connections begin with the PROXY protocol; nobody else is believed. */
  readonly trustedProxies?: readonly string[];
  readonly binary?: string;
  readonly runAs?: EdgeSettings["runAs"];
  readonly accessLog?: boolean;
  readonly initialSlots?: number;
  readonly drainGraceMs?: number;
  readonly verifyEveryMs?: number;
  /** Between two whole looks at a proxy at rest, however few host names it has; default 0. */
  readonly leastRestMs?: number;
  /** Between two checks of haproxy.cfg, which follows the state. */
  readonly installRestMs?: number;
  readonly log: Log;
  readonly clock: Clock;
  /** Called with what became true outside of `apply`, such as after the proxy was away. */
  readonly acknowledged?: (acknowledgements: readonly Acknowledgement[]) => void;
}

export interface EdgeStatus {
  readonly reachable: boolean;
  readonly proxyVersion: string | null;
  readonly slotsUsed: number;
  readonly slots: number;
  readonly hostnames: number;
  /** Some of them have an instance, here or on another host. */
  readonly isServing: boolean;
  /** Environment → version that was seen in the proxy. */
  readonly applied: Readonly<Record<string, number>>;
}

export interface Edge {
  /** Reads the last state and writes haproxy.cfg: the proxy may start as soon as this returns. */
  start(): Promise<void>;
  /**
   * Makes the proxy serve these tables; environments that are not mentioned stay as they are.
   * @param named every environment that the router knows, from a whole answer: others are forgotten
   * @returns what the proxy was seen to serve among the tables given (its own, higher version for a late one);
   *   what is missing follows through `acknowledged` as soon as it is true
   */
  apply(tables: readonly RouteTable[], named?: ReadonlySet<string>): Promise<readonly Acknowledgement[]>;
  /** Compares the proxy with the state and repairs it. Also done by itself every second. */
  verify(): Promise<void>;
  /** Where the host's activator listens; kept on disk. */
  setActivator(port: number): Promise<void>;
  /** The site of a host name in the newest tables that are held. */
  site(hostname: string): RouteSite | undefined;
  /** The newest tables that are held. */
  tables(): readonly RouteTable[];
  /** Whose host name it is; undefined: nobody's. */
  ownerOf(hostname: string): string | undefined;
  /** The certificates that the newest tables name. */
  certificateIds(): ReadonlySet<string>;
  /** What the proxy counted since it started; null while it does not answer. */
  traffic(): Promise<EdgeTraffic | null>;
  status(): EdgeStatus;
  /** Environment → version held on disk: `known` of GetRouteTables. */
  known(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}
