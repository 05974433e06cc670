/**
 * The host's edge: makes the running HAProxy hold the newest route tables, and says so only when it was seen.
 *
 *   apply(tables) ─▶ merge (a late version is ignored) ─▶ state.json synced ─┐
 *   every second (the proxy restarted? a drain ended?) ──────────────────────┴▶ observe proxy ─▶ plan steps
 *                                     acknowledged ◀─ observe proxy again ◀─ Runtime API ◀────────┘
 *
 * At rest the proxy is read whole the less often the more host names it has; which process it is, every second.
 *
 * What must stay true: one round at a time; an acknowledgement follows a synced state.json and a read-back;
 * haproxy.cfg on disk follows within 10 s, so that a proxy that starts by itself serves the last state.
 */
import { createHash } from "node:crypto";
import type { RouteSite, RouteTable } from "@berth/shared/contracts/route.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { restMsOf } from "./core/edge-rest.ts";
import {
  type EdgeState,
  forgetMissing,
  hasBackends,
  INITIAL_SLOTS,
  type Merge,
  mergeTables,
  type TableRefusal,
  wantedImage,
} from "./core/edge-state.ts";
import {
  type CertificateSource,
  planTls,
  unservedTls,
  wantedCertificates,
  wantedTls,
} from "./core/edge-tls.ts";
import { type EdgeTraffic, edgeTraffic, instanceSlots, slotsToCount } from "./core/edge-traffic.ts";
import { findOwner, findSite } from "./core/find-site.ts";
import { appliedEnvironments, isUrgent, type ObservedImage, planSteps } from "./core/plan-steps.ts";
import { slotsInUse, withReleasedSlots } from "./core/release-slots.ts";
import { type EdgeSettings, renderConfig, renderFiles, renderStatic } from "./core/render-config.ts";
import type { ProcessInfo } from "./core/runtime-text.ts";
import { edgeSettings } from "./edge-settings.ts";
import type { Acknowledgement, Edge, EdgeGiven, EdgeStatus } from "./edge-types.ts";
import { type EdgePaths, edgePaths, installConfig, loadState, writeAtomically } from "./shell/edge-files.ts";
import { EdgeProxy, type ObservedProxy, type ProxyStep } from "./shell/edge-proxy.ts";
import { observeImage, observeProcess, observeTraffic, reloadProxy } from "./shell/proxy-process.ts";
import { RuntimeApiError, RuntimeClient } from "./shell/runtime-client.ts";

export function createEdge(given: EdgeGiven): Edge {
  return new HaproxyEdge(given);
}

const ROUNDS = 4;
/** The proxy's check takes a tenth of a second. One that starts by itself meanwhile is set right within a second. */
const INSTALL_REST_MS = 10_000;

class HaproxyEdge implements Edge {
  readonly #given: EdgeGiven;
  readonly #paths: EdgePaths;
  readonly #settings: EdgeSettings;
  readonly #client: RuntimeClient;
  readonly #proxy: EdgeProxy;
  readonly #certificates: CertificateSource | null;
  readonly #drainingSinceMs = new Map<string, number>();
  readonly #applied = new Map<string, number>();
  #state: EdgeState | null = null;
  #savedState: EdgeState | null = null;
  #savedText = "";
  #incomplete: ReadonlySet<string> = new Set();
  #mayRemoveUnknown = false;
  #process: ProcessInfo | null = null;
  /** Until then nothing but the process is looked at, unless something is to be done. */
  #atRestUntilMs = Number.NEGATIVE_INFINITY;
  /** What the process was last seen to hold: steps may go out from it, an acknowledgement never. */
  #seen: { readonly pid: number; readonly proxy: ObservedProxy } | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #installQueue: Promise<unknown> = Promise.resolve();
  #installPending = false;
  #installed: EdgeState | null = null;
  #installedAtMs = Number.NEGATIVE_INFINITY;
  readonly #closing = new AbortController();

  constructor(given: EdgeGiven) {
    this.#given = given;
    this.#paths = edgePaths(given.dir, given.onlyFrom !== undefined);
    this.#settings = edgeSettings(given, this.#paths);
    this.#client = new RuntimeClient(given.socketPath, { isContained: given.onlyFrom !== undefined });
    this.#proxy = new EdgeProxy({ client: this.#client, files: this.#settings, log: given.log });
    this.#certificates = given.tls?.certificates ?? null;
  }

  async start(): Promise<void> {
    const { state, origin } = await loadState(this.#paths);
    if (origin === "damaged") this.#given.log.error("edge.state-damaged", { path: this.#paths.state });
    this.#mayRemoveUnknown = origin === "read";
    const slots = this.#given.initialSlots ?? INITIAL_SLOTS;
    const first = origin === "read" ? state : { ...state, slots, ...(await this.#slotsInUse()) };
    this.#take(mergeTables(first, this.#given.firstTables ?? []));
    await this.#save();
    await this.#install();
    this.#timer = setInterval(() => void this.#look(), this.#given.verifyEveryMs ?? 1000);
    this.#timer.unref();
  }

  apply(tables: readonly RouteTable[], named?: ReadonlySet<string>): Promise<readonly Acknowledgement[]> {
    return this.#exclusively(async () => {
      const merge = mergeTables(this.#now(), tables);
      this.#report(merge.refusals);
      this.#take(named === undefined ? merge : { ...merge, state: forgetMissing(merge.state, named) });
      if (named !== undefined && named.size > 0) this.#mayRemoveUnknown = true;
      const { fresh } = await this.#converge();
      const asked = new Set(tables.map((table) => table.environmentId as string));
      this.#announce(fresh.filter((ack) => !asked.has(ack.environmentId)));
      return [...asked].flatMap((environmentId) => {
        const version = this.#applied.get(environmentId);
        return version === undefined ? [] : [{ environmentId, version }];
      });
    });
  }

  verify(): Promise<void> {
    return this.#exclusively(async () => this.#announce((await this.#converge()).fresh));
  }

  #look(): Promise<void> {
    return this.#exclusively(async () => {
      if (!(await this.#isAtRest())) this.#announce((await this.#converge()).fresh);
    });
  }

  /** What is wanted was seen to be so a short while ago, in the process that still runs. */
  async #isAtRest(): Promise<boolean> {
    if (this.#atRestUntilMs <= this.#given.clock.monotonicMs() || this.#state !== this.#savedState)
      return false;
    const now = await observeProcess(this.#client).catch(() => null);
    return now !== null && now.pid === this.#process?.pid && now.description === this.#process.description;
  }

  setActivator(port: number): Promise<void> {
    return this.#exclusively(async () => {
      const state = this.#now();
      if (state.activatorPort === port) return;
      this.#state = { ...state, activatorPort: port };
      this.#announce((await this.#converge()).fresh);
    });
  }

  site(hostname: string): RouteSite | undefined {
    return findSite(this.#now(), hostname);
  }

  tables(): readonly RouteTable[] {
    return Object.values(this.#now().tables);
  }

  ownerOf(hostname: string): string | undefined {
    return findOwner(this.#now(), hostname);
  }

  certificateIds(): ReadonlySet<string> {
    return new Set(wantedCertificates(this.#now()).values());
  }

  async traffic(): Promise<EdgeTraffic | null> {
    const proxy = this.#process;
    if (proxy === null) return null;
    const servers = this.#seen?.proxy.image.servers;
    const slots = servers === undefined ? null : slotsToCount(this.#now(), instanceSlots(servers));
    const bySlot = await observeTraffic(this.#client, slots).catch(() => null);
    return bySlot === null ? null : edgeTraffic(this.#now(), proxy.pid, bySlot);
  }

  status(): EdgeStatus {
    const state = this.#now();
    const hostnames = Object.keys(state.hosts).length;
    return {
      reachable: this.#process !== null,
      proxyVersion: this.#process?.version ?? null,
      slotsUsed: hostnames + state.retiring.length,
      slots: state.slots,
      hostnames,
      isServing: hasBackends(state),
      applied: Object.fromEntries(this.#applied),
    };
  }

  known(): Readonly<Record<string, number>> {
    return Object.fromEntries(Object.entries(this.#now().tables).map(([id, table]) => [id, table.version]));
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#closing.abort();
    await this.#queue;
    if (this.#state !== null && this.#installed !== this.#state) await this.#install();
    await this.#installQueue;
  }

  /** Without a state, a slot that the running proxy uses must not be given to another host name. */
  async #slotsInUse(): Promise<Pick<EdgeState, "retiring" | "retiringPasses">> {
    const observed = await observeImage(this.#client, this.#settings).catch(() => null);
    return slotsInUse(observed);
  }

  #now(): EdgeState {
    if (this.#state === null) throw new Error("the edge was used before start() ended");
    return this.#state;
  }

  #take(merge: Merge): void {
    this.#state = merge.state;
    this.#incomplete = merge.incomplete;
  }

  #report(refusals: readonly TableRefusal[]): void {
    for (const refusal of refusals) {
      if (refusal.code === "older-version") this.#given.log.info("edge.table-late", refusal);
      else this.#given.log.error("edge.table-refused", refusal);
    }
  }

  #announce(acknowledgements: readonly Acknowledgement[]): void {
    if (acknowledgements.length > 0) this.#given.acknowledged?.(acknowledgements);
  }

  /** One round at a time; a round that fails does not stop the next one. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /**
   * Repeats plan → steps → observe until nothing urgent is left. The state is written beside that: an acknowledgement
   * needs both. Never throws: what failed is tried again.
   */
  async #converge(): Promise<{ fresh: readonly Acknowledgement[] }> {
    const started = performance.now();
    try {
      const saved = this.#save();
      saved.catch(() => undefined);
      const { pid } = await this.#rightProcess(saved);
      let observed = this.#seen?.pid === pid ? this.#seen.proxy : await this.#proxy.observe(pid);
      let steps = this.#plan(observed);
      let done = 0;
      for (let round = 0; round < ROUNDS; round++) {
        await this.#proxy.execute(steps, wantedTls(this.#now(), this.#certificates));
        done += steps.filter(isUrgent).length;
        observed = await this.#proxy.observe(pid);
        steps = this.#plan(observed);
        if (!steps.some(isUrgent)) break;
      }
      this.#seen = { pid, proxy: observed };
      await saved;
      this.#noteRest(steps.length === 0);
      this.#releaseSlots(observed.image);
      const fresh = this.#noteApplied(observed);
      const info = { steps: done, ms: Math.round(performance.now() - started), acknowledged: fresh };
      if (done > 0) this.#given.log.info("edge.converged", info);
      this.#installSoon();
      return { fresh };
    } catch (error) {
      this.#lost(error);
      this.#installSoon();
      return { fresh: [] };
    }
  }

  #noteRest(isDone: boolean): void {
    const restMs = restMsOf(Object.keys(this.#now().hosts).length, this.#given.leastRestMs);
    this.#atRestUntilMs = isDone ? this.#given.clock.monotonicMs() + restMs : Number.NEGATIVE_INFINITY;
  }

  /** The proxy that runs must have the configuration that is wanted: its settings and its number of slots. */
  async #rightProcess(saved: Promise<void>): Promise<ProcessInfo> {
    const now = await observeProcess(this.#client);
    const configId = this.#configId();
    if (this.#process?.pid !== now.pid) {
      this.#applied.clear();
      const { pid, version, description: config } = now;
      this.#given.log.info("edge.proxy-seen", { pid, version, config });
    }
    this.#process = now;
    if (now.description === configId) return now;
    await saved;
    await this.#save();
    await this.#install();
    this.#process = await reloadProxy(this.#client, now, configId, this.#given.signalMaster);
    this.#applied.clear();
    this.#given.log.warn("edge.proxy-reloaded", { slots: this.#now().slots, configId });
    return this.#process;
  }

  #plan({ image: observed, tls }: ObservedProxy): ProxyStep[] {
    const nowMs = this.#given.clock.monotonicMs();
    const drainGraceMs = this.#given.drainGraceMs ?? 30_000;
    const leaving = observed.servers
      .filter(({ admin }) => admin !== "ready")
      .map((s) => `${s.slot}/${s.name}`);
    for (const key of leaving) if (!this.#drainingSinceMs.has(key)) this.#drainingSinceMs.set(key, nowMs);
    for (const key of this.#drainingSinceMs.keys())
      if (!leaving.includes(key)) this.#drainingSinceMs.delete(key);
    const wanted = wantedImage(this.#now(), this.#settings);
    const [mayRemoveUnknown, drainingSinceMs] = [this.#mayRemoveUnknown, this.#drainingSinceMs];
    const https = planTls(tls, wantedTls(this.#now(), this.#certificates), mayRemoveUnknown);
    const steps = planSteps({ observed, wanted, nowMs, drainingSinceMs, drainGraceMs, mayRemoveUnknown });
    return [...https.before, ...steps, ...https.after];
  }

  #releaseSlots(observed: ObservedImage): void {
    this.#state = withReleasedSlots(this.#now(), observed);
  }

  #noteApplied({ image, tls }: ObservedProxy): readonly Acknowledgement[] {
    const state = this.#now();
    const owners = new Map(
      Object.entries(state.hosts).map(([host, { environmentId }]) => [host, environmentId]),
    );
    const applied = appliedEnvironments(
      image,
      wantedImage(state, this.#settings),
      owners,
      Object.keys(state.tables),
    );
    const https = wantedTls(state, this.#certificates);
    for (const id of unservedTls(state, tls, https, this.#certificates)) applied.delete(id);
    const fresh: Acknowledgement[] = [];
    for (const environmentId of this.#applied.keys()) {
      if (!applied.has(environmentId)) this.#applied.delete(environmentId);
    }
    for (const environmentId of applied) {
      const version = state.tables[environmentId]?.version;
      if (version === undefined || this.#incomplete.has(environmentId)) continue;
      if (this.#applied.get(environmentId) !== version) fresh.push({ environmentId, version });
      this.#applied.set(environmentId, version);
    }
    return fresh;
  }

  #lost(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#applied.clear();
    this.#seen = null;
    this.#atRestUntilMs = Number.NEGATIVE_INFINITY;
    const unreachable = error instanceof RuntimeApiError && error.code === "unreachable";
    if (unreachable && this.#process === null) return;
    this.#process = null;
    this.#given.log.warn(unreachable ? "edge.proxy-gone" : "edge.converge-failed", { reason });
  }

  #configId(): string {
    const digest = createHash("sha256").update(renderStatic(this.#settings)).digest("hex").slice(0, 12);
    return `berth-edge-${digest}-${this.#now().slots}-${this.#now().passSlots}`;
  }

  async #save(): Promise<void> {
    const state = this.#now();
    if (state === this.#savedState) return;
    const text = JSON.stringify(state);
    if (text !== this.#savedText) await writeAtomically(this.#paths.state, text);
    this.#savedText = text;
    this.#savedState = state;
  }

  /** One at a time: two would write the same candidate file. */
  #install(): Promise<void> {
    const result = this.#installQueue.then(async () => {
      const state = this.#now();
      const config = renderConfig(this.#settings, state, this.#configId());
      const files = { config, ...renderFiles(this.#settings, state, wantedTls(state, this.#certificates)) };
      await installConfig(this.#paths, this.#given.binary ?? "haproxy", files);
      this.#installed = state;
      this.#installedAtMs = this.#given.clock.monotonicMs();
    });
    this.#installQueue = result.catch(() => undefined);
    return result;
  }

  /**
   * haproxy.cfg follows the state in the background: the proxy's check of it takes longer than a change may, and while
   * changes come one after another it is not made for each.
   */
  #installSoon(): void {
    if (this.#installPending || this.#installed === this.#now()) return;
    this.#installPending = true;
    const leastMs = this.#given.installRestMs ?? INSTALL_REST_MS;
    const restMs = Math.max(0, this.#installedAtMs + leastMs - this.#given.clock.monotonicMs());
    void sleep(restMs, this.#closing.signal).then(async () => {
      await this.#installQueue;
      this.#installPending = false;
      if (this.#closing.signal.aborted) return;
      await this.#install().catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        this.#given.log.error("edge.config-refused", { reason });
      });
    });
  }
}
