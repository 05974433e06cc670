/**
 * The proxies of environments on this host: those that have a job here and certificates of their own. TLS ends in them.
 *
 *   tables, jobs ─▶ round: facts ─▶ core/plan-proxies ─▶ start · leave · remove      told(): what the router is to know
 *
 * What must stay true: a proxy that edges may use holds back the acknowledgement of a table until it serves that; an agent
 * that starts again finds proxies by their labels and changes nothing; all of a proxy's files are in memory.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { ProxyReport, RouteTable } from "@berth/shared/contracts/route.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import { isProxied } from "../edge/core/edge-state.ts";
import type { ListedProxy } from "../outbound/engine-proxies.ts";
import { ensureTmpfs } from "../outbound/tmpfs.ts";
import { gateVersion } from "./core/gate-version.ts";
import { type ProxyStep, planProxies, startAgainMs } from "./core/plan-proxies.ts";
import { PROXY_MEMORY_BYTES, PROXY_PORT, proxyBody, proxyForm } from "./core/proxy-container.ts";
import { proxiedNames } from "./core/proxy-table.ts";
import {
  type EnvironmentProxiesGiven,
  freeAddresses,
  isAddressTaken,
  type Known,
  type ProxyNetwork,
} from "./proxies-given.ts";
import { type InstanceFacts, type ProxyHost, ProxyInstance } from "./proxy-instance.ts";

/** What a proxy has of its connections before it is ended. */
const STOP_GRACE_MS = 30_000;
/** One that ended is told of for so long, while another takes its place. */
const MISSED_MS = 15_000;
/** A few rounds after the start, to serve within a second. */
const SERVED_LOOK_MS = 100;
const SERVED_LOOKS = 50;
const STARTS_AT_ONCE = 2;

export class EnvironmentProxies {
  readonly #given: EnvironmentProxiesGiven;
  readonly #host: ProxyHost;
  readonly #known = new Map<string, Known>();
  #tables = new Map<string, RouteTable>();
  #jobs: ReadonlySet<string> = new Set();
  #lastTold = "";
  #isOpen = false;
  readonly #removing = new Set<ProxyInstance>();
  #startsCount = 0;

  constructor(given: EnvironmentProxiesGiven) {
    this.#given = given;
    this.#host = { ...given, reload: (containerId) => given.proxyEngine.reload(containerId) };
  }

  /** Proxies that run are taken as they are. */
  async #open(): Promise<void> {
    await ensureTmpfs(this.#given.dir, "berth-proxies", "64m");
    for (const listed of await this.#given.proxyEngine.list())
      await this.#adopt(listed).catch((error: unknown) =>
        this.#given.log.error("proxy.not-adopted", { ...listed, error: describeError(error) }),
      );
    await this.#tellAddresses();
    this.#isOpen = true;
  }

  /** Newer tables, as the edge holds them. @returns when the proxies were told */
  async apply(tables: readonly RouteTable[]): Promise<void> {
    this.#take(tables);
    await Promise.all(
      [...this.#known].flatMap(([environmentId, { proxies }]) => {
        const table = this.#tables.get(environmentId);
        return table === undefined ? [] : proxies.filter(isUsed).map((proxy) => proxy.apply(table));
      }),
    );
    this.#tell();
  }

  /** @param jobs environments that have a job on this host */
  async round(jobs: ReadonlySet<string>, tables: readonly RouteTable[]): Promise<void> {
    this.#jobs = jobs;
    this.#take(tables);
    if (!this.#isOpen) await this.#open();
    for (const environmentId of jobs) if (this.#isNeeded(environmentId)) this.#entry(environmentId);
    const form = this.#known.size === 0 ? "" : await this.#form();
    await Promise.all([...this.#known.keys()].map((environmentId) => this.#roundOf(environmentId, form)));
    this.#tell();
  }

  /** Certificates came, or something may have been changed by others. */
  async verify(): Promise<void> {
    const all = [...this.#known.values()].flatMap(({ proxies }) => proxies);
    await Promise.all(all.filter(isUsed).map((proxy) => proxy.verify()));
    this.#tell();
  }

  /** Versions that edges serve, cut down to what proxies that edges may use serve too; 0 for none. */
  gate(environmentId: string, edgeVersion: number): number {
    const known = this.#known.get(environmentId);
    const facts = {
      ...{ isOpen: this.#isOpen, isNamed: this.#isNamed(environmentId) },
      isTold: known !== undefined && this.#reportOf(environmentId, known) !== null,
    };
    return gateVersion({ ...facts, proxies: known?.proxies ?? [] }, edgeVersion);
  }

  /** What the router is to know; undefined before it is known what runs. */
  told(): Record<string, ProxyReport> | undefined {
    if (!this.#isOpen) return undefined;
    const reports: Record<string, ProxyReport> = {};
    for (const [environmentId, known] of this.#known) {
      const report = this.#reportOf(environmentId, known);
      if (report !== null) reports[environmentId] = report;
    }
    return reports;
  }

  /** What they serve or are to serve. */
  certificateIds(): Set<string> {
    const all = [...this.#known.values()].flatMap(({ proxies }) => proxies);
    const coming = [...this.#jobs].flatMap((id) => this.#tables.get(id)?.sites.filter(isProxied) ?? []);
    return new Set([
      ...all.flatMap((proxy) => [...proxy.certificateIds()]),
      ...coming.flatMap(({ tls }) => tls?.certificateId ?? []),
    ]);
  }

  /** What their memory may grow to. */
  get memoryBytes(): number {
    return this.containerIds().length * PROXY_MEMORY_BYTES;
  }

  containerIds(): string[] {
    const all = [...this.#known.values()].flatMap(({ proxies }) => proxies);
    return all.flatMap(({ containerId }) => containerId ?? []);
  }

  /** Environments whose networks are in use by proxies. */
  environments(): string[] {
    return [...this.#known].filter(([, { proxies }]) => proxies.length > 0).map(([id]) => id);
  }

  /** Of each proxy; null of one that does not answer. */
  async traffic() {
    const all = [...this.#known.values()].flatMap(({ proxies }) => proxies).filter(isUsed);
    return Promise.all(
      all.map(async (proxy) => ({
        environmentId: proxy.facts.environmentId,
        traffic: await proxy.traffic(),
      })),
    );
  }

  /** Proxies run on. */
  async close(): Promise<void> {
    const all = [...this.#known.values()].flatMap(({ proxies }) => proxies);
    await Promise.all(all.map((proxy) => proxy.close()));
  }

  #entry(environmentId: string): Known {
    const known = this.#known.get(environmentId) ?? {
      ...{ proxies: [], unwantedSinceMs: null, failures: 0, notBeforeMs: 0, told: null, busy: false },
    };
    this.#known.set(environmentId, known);
    return known;
  }

  #take(tables: readonly RouteTable[]): void {
    for (const table of tables) {
      const have = this.#tables.get(table.environmentId);
      if (have === undefined || have.version <= table.version) this.#tables.set(table.environmentId, table);
    }
  }

  async #adopt({
    containerId,
    environmentId,
    instance,
    form,
    address,
    isRunning,
  }: ListedProxy): Promise<void> {
    const table = this.#tables.get(environmentId);
    if (!isRunning) return this.#given.engine.remove(containerId);
    const network = await this.#given.network(environmentId);
    const facts = await this.#facts(environmentId, { instance, form, address }, network);
    const proxy = new ProxyInstance(facts, this.#host, table);
    proxy.containerId = containerId;
    await proxy.open();
    const known = this.#entry(environmentId);
    known.proxies.push(proxy);
    await proxy.verify();
    // Edges use it: it stays named while it is found out how it is.
    if (table !== undefined && this.#isNamed(environmentId, address)) {
      const report = { address, port: PROXY_PORT, names: proxiedNames(table) };
      known.told = { report, atMs: this.#given.clock.monotonicMs() };
    }
    this.#given.log.info("proxy.adopted", { environmentId, instance, address });
  }

  async #facts(
    environmentId: string,
    own: Pick<InstanceFacts, "instance" | "form" | "address">,
    { gateway, hostCidr }: ProxyNetwork,
  ): Promise<InstanceFacts> {
    const heldDir = await this.#given.heldDir(environmentId);
    const dir = join(this.#given.dir, own.instance);
    return { ...own, environmentId, dir, heldDir, onlyFrom: [gateway, hostCidr] };
  }

  async #form(): Promise<string> {
    const { seccomp, cgroupParent, image } = this.#given;
    return proxyForm({ seccomp, cgroupParent, image: await image.reference() });
  }

  /** One at a time for each environment: a start or a stop of one holds up no other. */
  async #roundOf(environmentId: string, form: string): Promise<void> {
    const known = this.#entry(environmentId);
    if (known.busy) return;
    known.busy = true;
    try {
      await this.#look(known);
      const steps = planProxies(this.#factsOf(environmentId, known, form));
      for (const step of steps) await this.#run(step, environmentId, known, form);
      if (known.proxies.length === 0 && !this.#isWanted(environmentId)) this.#known.delete(environmentId);
    } catch (error) {
      known.failures += 1;
      known.notBeforeMs = this.#given.clock.monotonicMs() + startAgainMs(known.failures);
      this.#given.log.error("proxy.round-failed", {
        ...{ environmentId, failures: known.failures, error: describeError(error) },
      });
    } finally {
      known.busy = false;
    }
  }

  /** One that does not answer may have ended. */
  async #look(known: Known): Promise<void> {
    for (const proxy of known.proxies) {
      proxy.note();
      if (proxy.isReachable || proxy.containerId === null) continue;
      const seen = await this.#given.engine.inspect(proxy.containerId);
      if (seen === null || seen.state === "exited" || seen.state === "removing") proxy.isGone();
    }
  }

  #isWanted(environmentId: string): boolean {
    return this.#jobs.has(environmentId) && this.#isNeeded(environmentId);
  }

  /** Whether the newest table sends edges to a proxy of this host, at the address if one is said. */
  #isNamed(environmentId: string, address?: string): boolean {
    const named = this.#tables
      .get(environmentId)
      ?.proxies?.find(({ hostId }) => hostId === this.#given.hostId);
    return named !== undefined && (address === undefined || named.address === address);
  }

  #isNeeded(environmentId: string): boolean {
    return (this.#tables.get(environmentId)?.sites ?? []).some(isProxied);
  }

  #factsOf(environmentId: string, known: Known, form: string) {
    const { hostId, clock } = this.#given;
    const nowMs = clock.monotonicMs();
    const isWanted = this.#isWanted(environmentId);
    known.unwantedSinceMs = isWanted ? null : (known.unwantedSinceMs ?? nowMs);
    const named = this.#tables.get(environmentId)?.proxies ?? [];
    return {
      ...{ nowMs, isWanted, form, unwantedSinceMs: known.unwantedSinceMs, notBeforeMs: known.notBeforeMs },
      isNeeded: this.#isNeeded(environmentId),
      hasOthers: named.some((proxy) => proxy.hostId !== hostId),
      proxies: known.proxies.map(({ facts, phase, sinceMs }) => ({
        ...{ instance: facts.instance, form: facts.form, phase, sinceMs },
        isNamed: this.#isNamed(environmentId, facts.address),
      })),
    };
  }

  async #run(step: ProxyStep, environmentId: string, known: Known, form: string): Promise<void> {
    const proxy =
      step.kind === "start" ? undefined : known.proxies.find(({ facts }) => facts.instance === step.instance);
    if (step.kind === "start") return this.#startOne(environmentId, known, form);
    if (proxy === undefined || this.#removing.has(proxy)) return;
    if (step.kind === "leave") {
      proxy.leave();
      return this.#given.log.info("proxy.leaves", { environmentId, instance: step.instance });
    }
    if (proxy.phase === "gone" || proxy.phase === "starting") known.failures += 1;
    if (known.failures > 1)
      known.notBeforeMs = this.#given.clock.monotonicMs() + startAgainMs(known.failures - 1);
    // What is open may take its time, and holds up nothing.
    const removed = this.#remove(proxy, known, step.graceful);
    if (!step.graceful) return removed;
    removed.catch((error: unknown) =>
      this.#given.log.error("proxy.not-removed", { environmentId, error: describeError(error) }),
    );
  }

  /** The engine is not flooded, as after the start of a host with many. */
  async #startOne(environmentId: string, known: Known, form: string): Promise<void> {
    if (this.#startsCount >= STARTS_AT_ONCE) return;
    this.#startsCount += 1;
    try {
      await this.#start(environmentId, known, form);
    } finally {
      this.#startsCount -= 1;
    }
  }

  async #remove(proxy: ProxyInstance, known: Known, graceful: boolean): Promise<void> {
    const { engine, log } = this.#given;
    const { containerId, facts } = proxy;
    const { environmentId, instance } = facts;
    this.#removing.add(proxy);
    try {
      if (containerId !== null && graceful) await engine.stop(containerId, STOP_GRACE_MS);
      if (containerId !== null) await engine.remove(containerId);
    } finally {
      this.#removing.delete(proxy);
    }
    await proxy.forget();
    known.proxies = known.proxies.filter((one) => one !== proxy);
    log.info("proxy.removed", { environmentId, instance, graceful });
    await this.#tellAddresses();
  }

  async #start(environmentId: string, known: Known, form: string): Promise<void> {
    const { clock, image, network, log } = this.#given;
    const beganMs = clock.monotonicMs();
    const place = await network(environmentId);
    const imageReference = await image.ensure();
    for (const address of freeAddresses(place.slice, known)) {
      const instance = `${environmentId.slice(-10)}-${randomBytes(4).toString("hex")}`.toLowerCase();
      const facts = await this.#facts(environmentId, { instance, form, address }, place);
      const proxy = new ProxyInstance(facts, this.#host, this.#tables.get(environmentId));
      known.proxies.push(proxy);
      try {
        await this.#make(proxy, place, imageReference);
      } catch (error) {
        await this.#remove(proxy, known, false);
        if (isAddressTaken(error)) continue;
        throw error;
      }
      let looks = 0;
      while (proxy.phase === "starting" && looks++ < SERVED_LOOKS) {
        await sleep(SERVED_LOOK_MS);
        await proxy.verify();
      }
      if (proxy.phase === "serving") known.failures = 0;
      const tookMs = Math.round(clock.monotonicMs() - beganMs);
      return log.info("proxy.started", { environmentId, instance, address, phase: proxy.phase, tookMs });
    }
    throw new Error(`no address of ${place.slice} is free for a proxy`);
  }

  async #make(proxy: ProxyInstance, place: ProxyNetwork, image: string): Promise<void> {
    const { engine, podId, seccomp, cgroupParent } = this.#given;
    const { facts } = proxy;
    await proxy.open();
    await this.#tellAddresses();
    const { networkName } = place;
    const body = proxyBody({ ...facts, podId, seccomp, cgroupParent, image, networkName }, facts.instance);
    proxy.containerId = await engine.create(`berth-proxy-${facts.instance}`, body);
    await engine.start(proxy.containerId);
    await this.#given.started(proxy.containerId);
  }

  async #tellAddresses(): Promise<void> {
    const all = [...this.#known.values()].flatMap(({ proxies }) => proxies);
    await this.#given.addresses(all.map(({ facts }) => facts.address));
  }

  /** One that ended without our doing is told of for a while: another one takes its place and its address. */
  #reportOf(environmentId: string, known: Known): ProxyReport | null {
    const chosen = known.proxies.findLast(({ phase }) => phase === "serving");
    const nowMs = this.#given.clock.monotonicMs();
    const names = chosen?.names;
    if (chosen !== undefined && names != null && chosen.isReachable) {
      const report = { address: chosen.facts.address, port: PROXY_PORT, names };
      known.told = { report, atMs: nowMs };
      return report;
    }
    const isLeaving = known.proxies.every(({ phase }) => phase === "leaving");
    if (isLeaving && (known.proxies.length > 0 || !this.#isWanted(environmentId))) known.told = null;
    return known.told !== null && nowMs - known.told.atMs < MISSED_MS ? known.told.report : null;
  }

  #tell(): void {
    const text = JSON.stringify([this.told(), [...this.certificateIds()].sort()]);
    if (text === this.#lastTold) return;
    this.#lastTold = text;
    this.#given.changed();
  }
}

/** One that edges may use, now or soon. */
function isUsed({ phase }: ProxyInstance): boolean {
  return phase !== "gone";
}
