/** A simulated host's standing bid: the agent's own function on what the model measures. */
import type { HostState } from "@berth/shared/domain/placement.ts";
import { GIB } from "@berth/shared/domain/resources.ts";
import { type HostIdentity, hostState, type Measured } from "../../services/agent/src/core/capacity.ts";
import type { SimHost } from "./sim-host.ts";

/** The one ceiling that the model has: addresses of the host's network, one per running container. */
const ADDRESSES_COUNT = 40;

export function simState(host: SimHost): HostState {
  const network = {
    name: "berth0",
    portsCount: host.engine.runningCount(),
    addressesCount: ADDRESSES_COUNT,
    isShared: true,
  };
  const measured: Measured = {
    engineReachable: !host.engine.hangs,
    memoryTotalBytes: host.memoryBytes,
    diskTotalBytes: 100 * GIB,
    diskFreeBytes: 100 * GIB,
    cpuTotalMillis: 4000,
    imageDigests: [],
    imageStoreFull: false,
    runtimes: ["runc"],
    reclaimableBytes: 0,
    readings: {
      atMs: host.clockMs(),
      networksCount: 1,
      networks: [network],
      keys: null,
      inotify: null,
      pids: null,
    },
  };
  const identity: HostIdentity = {
    hostId: host.id,
    name: host.id,
    zone: "z",
    jobSlots: 50,
    reservedMemoryBytes: 0,
    reservedDiskBytes: 0,
    diskAlarmPercent: 80,
    limits: { networksCount: 500, bridgePortsCount: 1000 },
  };
  return hostState(identity, measured, host.records());
}
