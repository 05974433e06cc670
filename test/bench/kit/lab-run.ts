/** A lab for one benchmark: brought up, measured and removed, whatever ends it. */
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type LabPod, labPodDown, labPodUp } from "@berth/infra/lab/lab-pod.ts";
import { Closing } from "./closing.ts";
import { wholeFlag } from "./flags.ts";

export interface LabRun {
  readonly hosts: number;
  readonly flags: {
    readonly "state-dir": string;
    readonly "cache-dir"?: string | undefined;
    readonly index: string;
    readonly "postgres-port": string;
    readonly "nats-monitor-port": string;
  };
  /** Of the pod, besides its ports. */
  readonly settings: Omit<Parameters<typeof labPodUp>[0]["settings"], "postgresPort" | "natsMonitorPort">;
  readonly say: (line: string) => void;
}

/** @param measure gets the lab and a folder of its own, which goes with the lab */
export async function withLab(
  { hosts, flags, settings, say }: LabRun,
  measure: (labPod: LabPod, folder: string) => Promise<void>,
): Promise<void> {
  const stateDir = flags["state-dir"];
  const cacheDir = flags["cache-dir"];
  const index = wholeFlag(flags, "index", 0, 99);
  const ports = {
    postgresPort: wholeFlag(flags, "postgres-port", 1, 65_535),
    natsMonitorPort: wholeFlag(flags, "nats-monitor-port", 1, 65_535),
  };
  const made = !existsSync(stateDir);
  const folder = join(stateDir, "bench");
  const remove = async (): Promise<void> => {
    await labPodDown(stateDir, say);
    await rm(folder, { recursive: true, force: true });
    if (made) await rm(stateDir, { recursive: true, force: true });
  };
  const closing = new Closing(say);
  closing.push(remove);
  try {
    const labPod = await labPodUp({
      ...{ hosts, stateDir, index },
      ...(cacheDir === undefined ? {} : { cacheDir }),
      settings: { ...settings, ...ports },
      environment: {},
      progress: say,
      writeCredentials: false,
    });
    await mkdir(folder, { recursive: true });
    await measure(labPod, folder);
  } finally {
    await closing.closeAll();
  }
}
