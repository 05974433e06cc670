/** An environment's network of this host, as the engine is asked for it. */
import type { DesiredNetwork } from "../core/network-state.ts";

/** From this engine on, the gateway must be told not to hide the containers from routed neighbours. */
const FIRST_HIDING_ENGINE = 28;

export const NETWORK_LABEL = "berth.network";

/** Address translation is ours (core/firewall.ts): the engine's would hide containers from their own environment. */
export function bridgeOptions(network: DesiredNetwork, podId: string, engineMajor: number) {
  const { bridge, engineNetwork, slice, gateway, mtu, environmentId } = network;
  const hiding =
    engineMajor >= FIRST_HIDING_ENGINE
      ? { "com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected" }
      : {};
  return {
    Name: engineNetwork,
    Driver: "bridge",
    CheckDuplicate: true,
    IPAM: { Driver: "default", Config: [{ Subnet: slice, Gateway: gateway }] },
    EnableIPv6: false,
    Options: {
      "com.docker.network.bridge.name": bridge,
      "com.docker.network.bridge.enable_icc": "true",
      "com.docker.network.bridge.enable_ip_masquerade": "false",
      "com.docker.network.driver.mtu": String(mtu),
      ...hiding,
    },
    Labels: { [NETWORK_LABEL]: "environment", "berth.pod": podId, "berth.environment": environmentId },
  };
}
