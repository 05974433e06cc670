/**
 * Takes away what the agent made on the machine's network: the jobs' bridge and its firewall rules. Only for
 * `berth reset`; each step may find nothing to do. Names are those that the agent uses.
 */
import type { Progress } from "../progress.ts";
import { run } from "../run-command.ts";

const timeoutMs = 30_000;
export const defaultNetworkName = "berth0";

export type HostNetworkGiven = {
  readonly networkName: string;
  /** This host's own: a bridge of that name with another subnet is another pod's and stays. */
  readonly subnet: string;
  readonly docker: (...args: readonly string[]) => Promise<string>;
  readonly progress: Progress;
};

export async function removeHostNetwork({
  networkName,
  subnet,
  docker,
  progress,
}: HostNetworkGiven): Promise<void> {
  const format = "{{range .IPAM.Config}}{{.Subnet}}{{end}}";
  const found = await docker("network", "inspect", "-f", format, networkName).catch(() => null);
  if (found === null) return;
  if (found.trim() !== subnet)
    return progress(`network ${networkName} (${found.trim()}) is not this pod's and stays`);
  await docker("network", "rm", networkName);
  const chain = `BERTH-${networkName.toUpperCase()}`.slice(0, 28);
  const table = networkName === defaultNetworkName ? "berth" : `berth_${networkName}`;
  const steps = [
    ["iptables", "-D", "DOCKER-USER", "-j", chain],
    ["iptables", "-F", chain],
    ["iptables", "-X", chain],
    ["nft", "delete", "table", "inet", table],
  ];
  for (const step of steps) await run(step, { timeoutMs }).catch(() => undefined);
  progress(`network ${networkName} removed`);
}
