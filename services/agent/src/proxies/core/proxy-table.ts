/** An environment's table as its own proxy is to serve it, and where on the environment's bridge the proxy is. */
import type { RouteTable } from "@berth/shared/contracts/route.ts";
import { addressOf, parseCidr } from "@berth/shared/domain/cidr.ts";
import { isProxied } from "../../edge/core/edge-state.ts";

/** HTTPS of the sites that have a certificate of the environment's own; what is for plain HTTP is the edge's. */
export function proxyTable({ environmentId, version, sites }: RouteTable): RouteTable {
  return {
    ...{ environmentId, version },
    sites: sites.filter(isProxied).map(({ tls, challenge, httpsOnly, ...site }) => ({
      ...site,
      ...(tls === undefined ? {} : { tls: { certificateId: tls.certificateId, name: tls.name } }),
    })),
  };
}

/** Names of handshakes that its proxies are to answer. */
export function proxiedNames({ sites }: RouteTable): string[] {
  return sites.flatMap((site) => (isProxied(site) && site.tls !== undefined ? site.tls.name : []));
}

const ADDRESSES_COUNT = 16;

/**
 * Where a proxy may be: the last addresses of the host's part. The engine gives containers the first free ones, so these are
 * free until the part is full.
 */
export function proxyAddresses(slice: string): string[] {
  const cidr = parseCidr(slice);
  if (cidr === null) throw new Error(`not a network: ${slice}`);
  const size = 2 ** (32 - cidr.bits);
  const count = Math.min(ADDRESSES_COUNT, Math.floor(size / 4));
  return Array.from({ length: count }, (_, n) => addressOf(cidr, size - 2 - n));
}
