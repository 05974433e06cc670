/** The stage of the network cases: a pod on lab hosts with two apps of two environments. */
import { ensurePackages } from "@berth/infra/install/debian-packages.ts";
import { MIB } from "@berth/shared/domain/resources.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { makeStateDir, removeHostPod } from "../hosts/host-pod.ts";
import { environmentsCase } from "./cases/environments.ts";
import { healingCase } from "./cases/healing.ts";
import { isolationCase } from "./cases/isolation.ts";
import { spoofingCase } from "./cases/spoofing.ts";
import { wireCase } from "./cases/wire.ts";
import type { NetworkCase, NetworkStage } from "./network-case.ts";
import { startNetworkLab } from "./network-lab.ts";

/** In the order in which they are played. */
export const networkCases: readonly NetworkCase[] = [
  isolationCase,
  wireCase,
  spoofingCase,
  healingCase,
  environmentsCase,
];

/** Small: a hundred of them have room on a host. */
const sizes = { memoryBytes: 32 * MIB, cpuMillis: 50 };

export interface StageGiven {
  readonly hosts: number;
  readonly index: number;
  readonly say: (line: string) => void;
}

export async function startNetworkStage({ hosts, index, say }: StageGiven): Promise<NetworkStage> {
  const stateDir = makeStateDir();
  await ensurePackages(["tcpdump"], say);
  const agentEnv = { BERTH_AGENT_NETWORKS_COUNT: "300" };
  const ports = { postgresPort: await freePort() };
  const given = { hosts, index, ...ports, stateDir, agentEnv, say };
  const lab = await startNetworkLab(given).catch(async (error: unknown) => {
    await removeHostPod(stateDir, say);
    throw error;
  });
  try {
    return { lab, say, apps: [await lab.app("blue", "shop", sizes), await lab.app("red", "bank", sizes)] };
  } catch (error) {
    await lab.close();
    throw error;
  }
}
