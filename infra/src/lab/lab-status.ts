/** What a lab looks like now: asked from the machine and the hosts, never from memory. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type PodStatus, status as podStatus } from "../pod/status.ts";
import { connect } from "../supervisor/client.ts";
import { type EngineSummary, engineSummary } from "./engine-http.ts";
import { isRunning } from "./host-control.ts";
import { hostNames, labNames } from "./lab-names.ts";
import { type Cut, type HostRecord, readRecord } from "./lab-record.ts";

export interface LabHostStatus {
  readonly name: string;
  readonly address: string;
  readonly running: boolean;
  readonly cut: Cut | null;
  readonly dockerSocket: string;
  readonly logPath: string;
  /** Null when the engine does not answer. */
  readonly engine: EngineSummary | null;
  /** What the host's supervisor runs; empty when there is none. */
  readonly processes: readonly { readonly name: string; readonly state: string; readonly restarts: number }[];
}

export interface LabStatus {
  readonly index: number;
  readonly machineAddress: string;
  /** The control plane; null in a lab of engines only. */
  readonly pod: PodStatus["state"] | null;
  readonly hosts: readonly LabHostStatus[];
}

/** @returns null when the state folder has no lab. */
export async function labStatus(stateDir: string): Promise<LabStatus | null> {
  const record = readRecord(stateDir);
  if (record === null) return null;
  const hosts = await Promise.all(record.hosts.map((host) => hostStatus(stateDir, record.index, host)));
  const pod = record.withPod ? (await podStatus(stateDir)).state : null;
  return { index: record.index, machineAddress: labNames(stateDir, record.index).machineAddress, pod, hosts };
}

async function hostStatus(stateDir: string, index: number, host: HostRecord): Promise<LabHostStatus> {
  const names = hostNames(stateDir, index, host.number);
  const running = isRunning(names);
  return {
    name: host.name,
    address: names.address,
    running,
    cut: host.cut,
    dockerSocket: names.dockerSocket,
    logPath: names.logPath,
    engine: running ? await engineSummary(names.dockerSocket) : null,
    processes: running ? await supervisedProcesses(names.supervisorDir) : [],
  };
}

async function supervisedProcesses(runDir: string): Promise<LabHostStatus["processes"]> {
  if (!existsSync(join(runDir, "supervisor.sock"))) return [];
  try {
    const status = await (await connect(runDir))?.status();
    return (status?.processes ?? []).map(({ name, state, restarts }) => ({ name, state, restarts }));
  } catch {
    // It may be in the middle of its start or its end: the rest of the picture still counts.
    return [];
  }
}
