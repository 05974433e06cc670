/** What a case of the network lab is: two apps of two environments on every host, something happens, findings. */
import type { Finding } from "../hosts/case.ts";
import type { NetworkApp, NetworkLab } from "./network-lab.ts";

export interface NetworkStage {
  readonly lab: NetworkLab;
  /** Of two environments, with an instance on every host. */
  readonly apps: readonly [NetworkApp, NetworkApp];
  readonly say: (line: string) => void;
}

export interface NetworkCase {
  readonly name: string;
  readonly title: string;
  /** Begins and ends with every tunnel up. */
  run(stage: NetworkStage, length: "short" | "full"): Promise<Finding[]>;
}
