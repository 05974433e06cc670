/**
 * Whether an IP address is one of the public Internet.
 *
 * Used before a build fetches from a URL that a customer wrote: loopback, private, link-local (and with it the
 * metadata address), carrier NAT, multicast, documentation and every form that embeds an IPv4 address are refused.
 */
import { BlockList, isIP } from "node:net";

const REFUSED_V4 = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"],
  ...["203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"],
];
/** Everything outside 2000::/3 is refused by rule; these are the refused parts inside it. */
const REFUSED_V6 = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];

const refusedV4 = blockList(REFUSED_V4, "ipv4");
const refusedV6 = blockList(REFUSED_V6, "ipv6");
const globalV6 = blockList(["2000::/3"], "ipv6");

export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !refusedV4.check(address, "ipv4");
    case 6:
      return globalV6.check(address, "ipv6") && !refusedV6.check(address, "ipv6");
    default:
      return false;
  }
}

function blockList(ranges: readonly string[], family: "ipv4" | "ipv6"): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = "", bits = ""] = range.split("/");
    list.addSubnet(network, Number(bits), family);
  }
  return list;
}
