/** `berth status`: what runs, since when, what it waits for, how it ended last. Reads only. */
import { join } from "node:path";
import { engineVersion } from "../install/docker-engine.ts";
import { ownDockerSocket } from "../parts/docker-engine.ts";
import { connect } from "../supervisor/client.ts";
import type { ProcessStatus } from "../supervisor/protocol.ts";
import { hasSurvivors } from "../supervisor/state-file.ts";
import { readPodFile } from "./settings.ts";

export type PodStatus = {
  /** `orphaned`: the supervisor is gone and its processes run on; `berth up` takes them over. */
  readonly state: "up" | "degraded" | "down" | "orphaned" | "absent";
  readonly stateDir: string;
  readonly supervisorPid: number | null;
  readonly processes: readonly ProcessStatus[];
  readonly versions: Readonly<Record<string, string>>;
};

export async function status(stateDir: string): Promise<PodStatus> {
  const runDir = join(stateDir, "run");
  const pod = await readPodFile(stateDir);
  const supervisor = await connect(runDir);
  if (supervisor === null) {
    const state = pod === null ? "absent" : hasSurvivors(runDir) ? "orphaned" : "down";
    return { state, stateDir, supervisorPid: null, processes: [], versions: pod?.versions ?? {} };
  }
  const { pid, processes } = await supervisor.status();
  const docker = pod?.engine === "own" ? await engineVersion(ownDockerSocket(stateDir)) : null;
  const versions = { ...pod?.versions, ...(docker === null ? {} : { docker }) };
  const state = processes.length > 0 && processes.every((one) => one.state === "ready") ? "up" : "degraded";
  return { state, stateDir, supervisorPid: pid, processes, versions };
}

/** One line per process, for people. */
export function statusLines(pod: PodStatus, nowMs: number): readonly string[] {
  const head = `pod in ${pod.stateDir}: ${pod.state}`;
  if (pod.processes.length === 0) return [head, ...(pod.state === "up" ? [] : ["start it with: berth up"])];
  const rows = pod.processes.map((one) => {
    const version = pod.versions[one.name === "dockerd" ? "docker" : one.name];
    const pid = one.pid === null ? "-" : String(one.pid);
    const columns = [
      one.name.padEnd(12),
      one.state.padEnd(12),
      pid.padStart(8),
      `${Math.round((nowMs - one.sinceMs) / 1000)} s`.padStart(9),
    ];
    const notes = [
      version ?? "",
      one.restarts > 0 ? `${one.restarts} restarts` : "",
      one.waitingFor === null ? "" : `waits for ${one.waitingFor}`,
      one.lastExit === null || one.state === "ready" ? "" : `last: ${one.lastExit.how}`,
    ];
    return `${columns.join(" ")}  ${notes.filter((note) => note !== "").join(", ")}`.trimEnd();
  });
  return [head, ...rows];
}
