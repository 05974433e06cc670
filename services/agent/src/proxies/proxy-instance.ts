/**
 * One proxy of an environment: its folder, its container, and the edge's own code that makes it hold the environment's
 * table. A proxy whose container ended is never started again: another one takes its place.
 */
import { chmod, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { DOOR_SOCKET } from "@berth/shared/contracts/activator.ts";
import type { RouteTable } from "@berth/shared/contracts/route.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { CertificateSource } from "../edge/core/edge-tls.ts";
import { createEdge } from "../edge/edge.ts";
import type { Edge } from "../edge/edge-types.ts";
import type { SeenProxy } from "./core/plan-proxies.ts";
import { PROXY_PORT, PROXY_SIZE, RUN_FOLDER } from "./core/proxy-container.ts";
import { proxyTable } from "./core/proxy-table.ts";

const SLOTS = 16;
const VERIFY_MS = 1000;
/** Nobody else reaches its socket, and a host has many: what it holds is read whole as often as a crowded edge is. */
const LEAST_REST_MS = 10_000;

/** The same for all proxies of a host. */
export interface ProxyHost {
  /** Where clients come in, as they see it. */
  readonly tlsPort: number;
  readonly certificates: CertificateSource;
  readonly accessLog: boolean;
  readonly reload: (containerId: string) => Promise<void>;
  /** A table is served that was not before. */
  readonly served: (environmentId: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface InstanceFacts {
  readonly environmentId: string;
  readonly instance: string;
  readonly form: string;
  readonly address: string;
  readonly dir: string;
  readonly heldDir: string | null;
  /** Sources of edges: the bridge's own address, and the hosts' in the mesh. */
  readonly onlyFrom: readonly string[];
}

export class ProxyInstance {
  readonly facts: InstanceFacts;
  readonly #host: ProxyHost;
  readonly #edge: Edge;
  containerId: string | null = null;
  #phase: SeenProxy["phase"] = "starting";
  #sinceMs: number;

  constructor(facts: InstanceFacts, host: ProxyHost, table: RouteTable | undefined) {
    this.facts = facts;
    this.#host = host;
    this.#sinceMs = host.clock.monotonicMs();
    const { dir, heldDir, onlyFrom, environmentId } = facts;
    const { clock, certificates, tlsPort, accessLog } = host;
    this.#edge = createEdge({
      ...{ dir, onlyFrom, clock, accessLog },
      log: host.log.with({ environmentId, instance: facts.instance }),
      socketPath: join(dir, RUN_FOLDER, "haproxy.sock"),
      port: null,
      tls: { port: tlsPort, listenPort: PROXY_PORT, dir: join(dir, "tls"), certificates },
      runAs: null,
      size: PROXY_SIZE,
      initialSlots: SLOTS,
      verifyEveryMs: VERIFY_MS,
      leastRestMs: LEAST_REST_MS,
      ...(heldDir === null ? {} : { activatorSocket: join(heldDir, DOOR_SOCKET) }),
      ...(table === undefined ? {} : { firstTables: [proxyTable(table)] }),
      signalMaster: async () => {
        if (this.containerId !== null) await host.reload(this.containerId);
      },
      acknowledged: () => host.served(environmentId),
    });
  }

  get phase(): SeenProxy["phase"] {
    return this.#phase;
  }

  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** Its files are there when this returns. */
  async open(): Promise<void> {
    const { dir } = this.facts;
    for (const path of [dir, join(dir, "tls")]) await makeFolder(path, 0o755);
    // Which user of this host the container's is, the host does not know: the folder above lets nobody else in.
    await makeFolder(join(dir, RUN_FOLDER), 0o777);
    await this.#edge.start();
  }

  async apply(table: RouteTable): Promise<void> {
    await this.#edge.apply([proxyTable(table)]);
    this.note();
  }

  async verify(): Promise<void> {
    await this.#edge.verify();
    this.note();
  }

  /** Version of the table that it was seen to serve; null for none. */
  get version(): number | null {
    return this.#edge.status().applied[this.facts.environmentId] ?? null;
  }

  get isReachable(): boolean {
    return this.#edge.status().reachable;
  }

  /** Names that it was seen to serve; null while it does not serve all of its newest table. */
  get names(): string[] | null {
    const [table] = this.#edge.tables();
    if (table === undefined || this.version !== table.version) return null;
    return table.sites.flatMap(({ tls }) => tls?.name ?? []);
  }

  certificateIds(): ReadonlySet<string> {
    return this.#edge.certificateIds();
  }

  traffic(): ReturnType<Edge["traffic"]> {
    return this.#edge.traffic();
  }

  /** What it serves now makes it one that may be told of. */
  note(): void {
    if (this.#phase === "starting" && this.names !== null) this.#become("serving");
  }

  leave(): void {
    this.#become("leaving");
  }

  isGone(): void {
    this.#become("gone");
  }

  /** Its container runs on, and its files stay. */
  async close(): Promise<void> {
    await this.#edge.close();
  }

  /** The container is gone. */
  async forget(): Promise<void> {
    await this.#edge.close().catch(() => undefined);
    await rm(this.facts.dir, { recursive: true, force: true });
  }

  #become(phase: SeenProxy["phase"]): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#sinceMs = this.#host.clock.monotonicMs();
  }
}

/** Whatever the process' mask of modes is. */
async function makeFolder(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, mode);
}
