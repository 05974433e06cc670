/** Chooses the networks for one answer: those that the host does not have, as many as one message may carry. */
import type { EnvironmentNetwork } from "@berth/shared/contracts/network.ts";

/** The bus refuses messages past 1 MiB; the rest is left to `versions` and the mesh. */
export const NETWORKS_LIMIT_BYTES = 500_000;
const NETWORKS_LIMIT = 1000;

/** @param known environment → version that the host holds; the host asks again for what did not fit */
export function fitNetworks(
  networks: readonly EnvironmentNetwork[],
  known: Readonly<Record<string, number>>,
  limitBytes = NETWORKS_LIMIT_BYTES,
): EnvironmentNetwork[] {
  const fitting: EnvironmentNetwork[] = [];
  let bytes = 0;
  for (const network of networks) {
    if ((known[network.environmentId] ?? 0) >= network.version) continue;
    bytes += JSON.stringify(network).length;
    if (fitting.length > 0 && (bytes > limitBytes || fitting.length >= NETWORKS_LIMIT)) break;
    fitting.push(network);
  }
  return fitting;
}
