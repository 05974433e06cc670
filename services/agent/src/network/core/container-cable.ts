/**
 * The cable of a container: one end is a port of its environment's bridge, the other one its `eth0`. The agent lays it, because
 * the engine's way costs ten runs of iptables and one of the engine's own program per start, for a resolver that nobody here asks.
 *
 * What must stay true: an address is given to one container at a time, and as long as the agent runs not again before all
 * others were; a cable is laid into the container alone that it is for. Pure.
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

/** A container that runs. */
export interface CableEnd {
  readonly containerId: string;
  /** Of a process in it. */
  readonly pid: number;
}

/** A process may have ended since somebody said its number, which is another's then, or even the host's. */
const ONLY_INTO =
  'while read -r at <&3; do case $at in *"$2"*) exec ip -batch - 3<&- ;; esac; done 3<"$1"; exit 3';

/**
 * The kernel notes a cable's carrier by itself, a moment after both ends are up. Until it did, what is sent is dropped: a first
 * question for the address, which is asked again a second later.
 */
const UNTIL_CARRIED =
  'for n in $(seq 200); do case $(ip -o link show dev "$1") in *" state UP "*) exit 0 ;; esac; sleep 0.005; done; exit 4';

type Slice = Pick<CablePlace, "slice" | "gateway">;

/** Addresses for containers, in order: not the network's own, the broadcast's, the gateway's, nor those that proxies take. */
function containerAddresses({ slice, gateway }: Slice): string[] {
  const cidr = parseCidr(slice);
  if (cidr === null) throw new Error(`not a network: ${slice}`);
  const kept = new Set([gateway, ...proxyAddresses(slice)]);
  const all = Array.from({ length: 2 ** (32 - cidr.bits) - 2 }, (_, n) => addressOf(cidr, n + 1));
  return all.filter((one) => !kept.has(one));
}

export function countContainerAddresses(place: Slice): number {
  return containerAddresses(place).length;
}

/**
 * @param used addresses of the host's containers, in whatever state
 * @param last the one that was given last; what was freed a moment ago is given again as late as may be
 * @returns null when all are in use
 */
export function freeAddress(place: Slice, used: ReadonlySet<string>, last: string | null): string | null {
  const all = containerAddresses(place);
  const after = all.indexOf(last ?? "") + 1;
  return [...all.slice(after), ...all.slice(0, after)].find((one) => !used.has(one)) ?? null;
}

/** Whether a container may have just this one. */
export function isFree(place: Slice, used: ReadonlySet<string>, wanted: string | null): wanted is string {
  return wanted !== null && !used.has(wanted) && containerAddresses(place).includes(wanted);
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

/** The app waits for the route, which comes last of what is laid; those who ask it wait until the cable carries. */
export function layCable(end: CableEnd, address: string, place: CablePlace): ScriptLine[] {
  const { bridge, slice, gateway, mtu } = place;
  const { pid, containerId } = end;
  const device = deviceOf(containerId);
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
    {
      argv: ["sh", "-c", ONLY_INTO, "sh", `/proc/${pid}/cgroup`, containerId],
      input: `${host.join("\n")}\n`,
    },
    { argv: ["nsenter", `--net=/proc/${pid}/ns/net`, "sh", "-c", inside], input: `${own.join("\n")}\n` },
    { argv: ["sh", "-c", UNTIL_CARRIED, "sh", device] },
  ];
}

/** What was laid in part is taken away. */
export function takeCable({ containerId }: CableEnd): ScriptLine {
  return { argv: ["ip", "link", "delete", deviceOf(containerId)] };
}

/** What the container's process says of its ways; `hasWay` reads it. */
export function lookAtWays({ pid }: CableEnd): ScriptLine {
  return { argv: ["cat", `/proc/${pid}/net/route`] };
}

/** The route comes last: with it the cable is laid. */
export function hasWay(routes: string): boolean {
  return /^eth0\t00000000\t/m.test(routes);
}
