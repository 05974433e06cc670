/** Measures the host every few seconds, so that a bid or an award needs no call to the engine. */

import type { HostState } from "@berth/shared/domain/placement.ts";
import { type HostIdentity, hostState, type Measured } from "../core/capacity.ts";
import type { JobRecord } from "../core/job-record.ts";
import type { Engine } from "../outbound/docker.ts";
import { cgroupLimitBytes, diskSpace } from "../outbound/measure.ts";

export interface HostMeterGiven {
  readonly engine: Engine;
  readonly identity: HostIdentity;
  /** Memory that this host offers, when it is not the engine's. */
  readonly memoryBytes: number | null;
}

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
  };
  engineVersion = "";

  constructor(given: HostMeterGiven) {
    this.#given = given;
  }

  readonly measure = async (): Promise<void> => {
    const { engine, identity, memoryBytes } = this.#given;
    try {
      const [info, imageDigests] = await Promise.all([engine.info(), engine.imageDigests()]);
      const limit = await cgroupLimitBytes();
      const disk = await diskSpace(info.rootDir);
      this.engineVersion = info.version;
      this.#measured = {
        engineReachable: true,
        memoryTotalBytes: memoryBytes ?? Math.min(info.memoryBytes, limit ?? info.memoryBytes),
        diskTotalBytes: disk.totalBytes,
        diskFreeBytes: disk.freeBytes,
        cpuTotalMillis: info.cpuCount * 1000,
        imageDigests,
        imageStoreFull: disk.freeBytes < identity.reservedDiskBytes,
      };
    } catch (error) {
      this.#measured = { ...this.#measured, engineReachable: false };
      throw error;
    }
  };

  state(records: readonly JobRecord[]): HostState {
    return hostState(this.#given.identity, this.#measured, records);
  }
}
