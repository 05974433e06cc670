/**
 * The cable of a container: one end is a port of its environment's bridge, the other one its `eth0`. The agent lays it, because
 * the engine's way costs ten runs of iptables and one of the engine's own program per start, for a resolver that nobody here asks.
 *
 * What must stay true: an address is given to one container at a time, and not again before all others were. Pure.
 */
import { addressOf, parseCidr } from "@berth/shared/domain/cidr.ts";
import type { ScriptLine } from "../../outbound/run-script.ts";
import { proxyAddresses } from "../../proxies/core/proxy-table.ts";

/** Where a host's containers of an environment are. */
export interface CablePlace {
  readonly bridge: string;
  /** The host's part of the environment's network. */
  readonly slice: string;
  readonly gateway: string;
  readonly mtu: number;
}

/**
 * @param used addresses of the host's containers, in whatever state
 * @param last the one that was given last; what was freed a moment ago is given again as late as may be
 * @returns null when all are in use
 */
export function freeAddress(
  { slice, gateway }: Pick<CablePlace, "slice" | "gateway">,
  used: ReadonlySet<string>,
  last: string | null,
): string | null {
  const cidr = parseCidr(slice);
  if (cidr === null) throw new Error(`not a network: ${slice}`);
  const kept = new Set([gateway, ...proxyAddresses(slice)]);
  // Without the network's own address and the broadcast's.
  const all = Array.from({ length: 2 ** (32 - cidr.bits) - 2 }, (_, n) => addressOf(cidr, n + 1));
  const after = all.indexOf(last ?? "") + 1;
  return (
    [...all.slice(after), ...all.slice(0, after)].find((one) => !kept.has(one) && !used.has(one)) ?? null
  );
}

/** Unicast and administered locally, as the engine makes it of an address. */
export function macOf(address: string): string {
  return ["02", "42", ...address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"))].join(
    ":",
  );
}

/** The host's end; an interface's name has 15 letters at most. */
export function deviceOf(containerId: string): string {
  return `veth${containerId.slice(0, 10)}`;
}

/** The app waits for the route, which comes last. @param pid of a process in the container */
export function layCable(pid: number, device: string, address: string, place: CablePlace): ScriptLine[] {
  const { bridge, slice, gateway, mtu } = place;
  const bits = slice.split("/")[1] ?? "24";
  const host = [
    `link add ${device} mtu ${mtu} type veth peer name eth0 mtu ${mtu} address ${macOf(address)} netns ${pid}`,
    `link set ${device} master ${bridge} up`,
  ];
  const own = [
    `addr add ${address}/${bits} dev eth0`,
    "link set eth0 up",
    `route add default via ${gateway}`,
  ];
  const inside = "echo 1 2>/dev/null > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; exec ip -batch -";
  return [
    { argv: ["ip", "-batch", "-"], input: `${host.join("\n")}\n` },
    { argv: ["nsenter", `--net=/proc/${pid}/ns/net`, "sh", "-c", inside], input: `${own.join("\n")}\n` },
  ];
}

/** Of one that was laid in part. */
export function takeCable(device: string): ScriptLine {
  return { argv: ["ip", "link", "delete", device] };
}
