/**
 * Measures the host every few seconds, so that a bid or an award needs no call to the engine.
 *
 * A ceiling that cannot be read is told as such; only an engine that does not answer stops the bids.
 */

import type { HostState } from "@berth/shared/domain/placement.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import { describeError, type Log } from "@berth/shared/kit/log.ts";
import { type HostIdentity, hostState, type Measured } from "../core/capacity.ts";
import { isResting } from "../core/host-rest.ts";
import type { JobRecord } from "../core/job-record.ts";
import type { CeilingReadings, Reading } from "../core/measure-ceilings.ts";
import type { Engine, EngineInfo } from "../outbound/docker.ts";
import { cgroupLimitBytes, diskSpace } from "../outbound/measure.ts";
import { readInotify, readKeys, readNetworks, readPids } from "../outbound/read-ceilings.ts";

export interface HostMeterGiven {
  readonly engine: Engine;
  readonly identity: HostIdentity;
  /** Memory that this host offers, when it is not the engine's. */
  readonly memoryBytes: number | null;
  /** Where the jobs' control groups lie; the engine's own place when null. */
  readonly cgroupParent: string | null;
  /** Put before commands that look at the network, for an engine in another network namespace. */
  readonly commandPrefix?: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** True when the containers could not be listed for long, whatever else the engine answers. */
  readonly isStuck?: () => boolean;
}

/** Counting inotify instances looks at every process; their limit fills slowly. */
const INOTIFY_EVERY_MS = 60_000;
/** Of networks and their ports, while no job of this host came or went: others may use the engine too. */
const NETWORKS_EVERY_MS = 30_000;
const ENGINE_CGROUP = "docker";
/** To answer this an engine starts two programs, to ask runc and its init for their versions; it changes with a restart. */
const INFO_EVERY_MS = 60_000;
/** Of its images, while all that is here sleeps: none comes or goes then, but the engine may. */
const RESTING_IMAGES_MS = 20_000;

type NetworksReading = Pick<CeilingReadings, "atMs" | "networksCount" | "networks">;

export class HostMeter {
  readonly #given: HostMeterGiven;
  #measured: Measured = {
    engineReachable: false,
    memoryTotalBytes: 0,
    diskTotalBytes: 0,
    diskFreeBytes: 0,
    cpuTotalMillis: 0,
    imageDigests: [],
    imageStoreFull: false,
    runtimes: [],
    reclaimableBytes: 0,
    readings: null,
  };
  #inotify: { readonly atMs: number; readonly reading: Reading | null } | null = null;
  #networks: { readonly sinceMs: number; readonly jobs: string; readonly reading: NetworksReading } | null =
    null;
  /** As they were last told. */
  #jobs: readonly JobRecord[] = [];
  #info: { readonly atMs: number; readonly info: EngineInfo } | null = null;
  #images: { readonly atMs: number; readonly digests: readonly string[] } | null = null;
  engineVersion = "";

  constructor(given: HostMeterGiven) {
    this.#given = given;
  }

  readonly measure = async (): Promise<void> => {
    const { identity, memoryBytes } = this.#given;
    try {
      const [info, imageDigests] = await Promise.all([this.#readInfo(), this.#readImages()]);
      const limit = await cgroupLimitBytes();
      const disk = await diskSpace(info.rootDir);
      const readings = await this.#readCeilings(info);
      this.engineVersion = info.version;
      this.#measured = {
        engineReachable: true,
        memoryTotalBytes: memoryBytes ?? Math.min(info.memoryBytes, limit ?? info.memoryBytes),
        diskTotalBytes: disk.totalBytes,
        diskFreeBytes: disk.freeBytes,
        cpuTotalMillis: info.cpuCount * 1000,
        imageDigests,
        imageStoreFull: disk.freeBytes < identity.reservedDiskBytes,
        runtimes: info.runtimes,
        reclaimableBytes: this.#measured.reclaimableBytes,
        readings,
      };
    } catch (error) {
      this.#measured = { ...this.#measured, engineReachable: false };
      // Another one may answer the next time.
      this.#info = null;
      this.#images = null;
      throw error;
    }
  };

  async #readInfo(): Promise<EngineInfo> {
    const { engine, clock } = this.#given;
    const nowMs = clock.monotonicMs();
    if (this.#info === null || nowMs - this.#info.atMs >= INFO_EVERY_MS)
      this.#info = { atMs: nowMs, info: await engine.info() };
    return this.#info.info;
  }

  async #readImages(): Promise<readonly string[]> {
    const { engine, clock } = this.#given;
    const nowMs = clock.monotonicMs();
    const isFresh = this.#images !== null && nowMs - this.#images.atMs < RESTING_IMAGES_MS;
    if (this.#images === null || !isFresh || !isResting(this.#jobs))
      this.#images = { atMs: nowMs, digests: await engine.imageDigests() };
    return this.#images.digests;
  }

  async #readCeilings(info: EngineInfo): Promise<CeilingReadings> {
    const { clock, cgroupParent } = this.#given;
    const nowMs = clock.nowMs();
    const [networks, keys, inotify, pids] = await Promise.all([
      this.#readNetworks(nowMs),
      this.#orNull("kernel-keys", () => readKeys(info.containerRootUid)),
      this.#readInotify(nowMs),
      this.#orNull("pids", () => readPids(cgroupParent ?? ENGINE_CGROUP)),
    ]);
    return { ...networks, keys, inotify, pids };
  }

  /** Jobs that started after its `atMs` are counted apart, so an older reading never tells too few. */
  async #readNetworks(atMs: number): Promise<NetworksReading> {
    const { engine, clock, commandPrefix } = this.#given;
    const [sinceMs, last] = [clock.monotonicMs(), this.#networks];
    const jobs = this.#jobs.map(({ spec, attempt, state }) => `${spec.jobId} ${attempt} ${state}`).join();
    if (last !== null && last.jobs === jobs && sinceMs - last.sinceMs < NETWORKS_EVERY_MS)
      return last.reading;
    const all = await this.#orNull("networks", () => engine.networks());
    const networks =
      all && (await this.#orNull("bridge-ports", () => readNetworks(all, commandPrefix ?? [])));
    const reading = { atMs, networksCount: all?.length ?? null, networks };
    this.#networks = networks === null ? null : { sinceMs, jobs, reading };
    return reading;
  }

  async #readInotify(nowMs: number): Promise<Reading | null> {
    if (this.#inotify === null || nowMs - this.#inotify.atMs >= INOTIFY_EVERY_MS)
      this.#inotify = { atMs: nowMs, reading: await this.#orNull("inotify-instances", readInotify) };
    return this.#inotify.reading;
  }

  async #orNull<T>(ceiling: string, read: () => Promise<T>): Promise<T | null> {
    try {
      return await read();
    } catch (error) {
      this.#given.log.debug("ceiling.not-read", { ceiling, error: describeError(error) });
      return null;
    }
  }

  /** Told by the removal of garbage, which knows which images nobody needs. */
  noteReclaimable(bytes: number): void {
    this.#measured = { ...this.#measured, reclaimableBytes: bytes };
  }

  /** What the engine's disk holds, as last measured. */
  get disk(): { readonly totalBytes: number; readonly freeBytes: number } {
    return { totalBytes: this.#measured.diskTotalBytes, freeBytes: this.#measured.diskFreeBytes };
  }

  state(records: readonly JobRecord[]): HostState {
    const { identity, isStuck } = this.#given;
    this.#jobs = records;
    const engineReachable = this.#measured.engineReachable && isStuck?.() !== true;
    return hostState(identity, { ...this.#measured, engineReachable }, records);
  }
}
