/**
 * Where a container's cable leads, by what the engine says of it. The agent lays a job's cable itself, and the engine knows
 * of no network of it: its address is a label. An environment's proxy, and what runs in gVisor, is in the engine's network.
 */
import { ADDRESS_LABEL } from "../core/container-network.ts";
import { deviceOf, macOf } from "../network/core/container-cable.ts";

export interface SeenCable {
  readonly address: string | null;
  readonly mac: string | null;
  /** The host's end; null when the engine chose its name. */
  readonly device: string | null;
}

interface SeenEndpoint {
  /** Empty while the container does not run. */
  readonly IPAddress: string;
  readonly MacAddress: string;
  readonly IPAMConfig?: { readonly IPv4Address?: string } | null;
}

/** Of a container, as the engine lists or describes it. */
export function seenCable(
  id: string,
  labels: Readonly<Record<string, string>>,
  networks: Readonly<Record<string, SeenEndpoint>> | null = null,
): SeenCable {
  const own = labels[ADDRESS_LABEL];
  if (own !== undefined) return { address: own, mac: macOf(own), device: deviceOf(id) };
  const all = Object.values(networks ?? {});
  const address =
    all.map((one) => one.IPAddress || (one.IPAMConfig?.IPv4Address ?? "")).find((one) => one !== "") ?? null;
  return {
    address,
    mac: all.map(({ MacAddress }) => MacAddress).find((one) => one !== "") ?? null,
    device: null,
  };
}
