/**
 * Names inside an environment, as text for its resolver.
 *
 *   SERVICE.internal                every ready instance of the service's `web` process, else of all its processes
 *   PROCESS.SERVICE.internal        every ready instance of the process
 *   SLOT.PROCESS.SERVICE.internal   one instance
 *   _PORT._tcp.SERVICE.internal     SRV: host name and port of every ready instance that has a port of that name
 */
import type { InstanceName } from "@berth/shared/contracts/network.ts";

/** Seconds that an answer may be kept: a replaced instance is forgotten within them. */
export const NAME_TTL_SECONDS = 5;
export const ZONE = "internal";
const NOBODYS = ["100.64.0.0/10", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"];

/** One line per address: `ADDRESS NAME NAME …`, in a canonical order. */
export function hostsText(names: readonly InstanceName[]): string {
  const withWeb = new Set(names.filter(({ process }) => process === "web").map(({ service }) => service));
  const byAddress = new Map<string, string[]>();
  for (const { service, process, slot, address } of names) {
    const [own, parent] = [label(service), label(process)];
    const isMain = process === "web" || !withWeb.has(service);
    const its = [
      `${slot}.${parent}.${own}.${ZONE}`,
      `${parent}.${own}.${ZONE}`,
      ...(isMain ? [`${own}.${ZONE}`] : []),
    ];
    byAddress.set(address, [...(byAddress.get(address) ?? []), ...its]);
  }
  return [...byAddress]
    .map(([address, its]) => `${address} ${its.sort().join(" ")}\n`)
    .sort()
    .join("");
}

/**
 * One line per SRV record, in a canonical order. Its target is an instance's name, not an address: the text is the same
 * while instances are replaced, and changes with the set of ready slots.
 */
export function srvText(names: readonly InstanceName[]): string {
  const lines = names.flatMap(({ service, process, slot, ports = [] }) => {
    const [own, parent] = [label(service), label(process)];
    return ports.map(
      ({ name, port }) => `srv-host=_${name}._tcp.${own}.${ZONE},${slot}.${parent}.${own}.${ZONE},${port}\n`,
    );
  });
  return [...new Set(lines)].sort().join("");
}

/** A process may be called `mail_worker`; a name in the DNS may not. */
function label(text: string): string {
  return text.toLowerCase().replaceAll(/[^a-z0-9-]/g, "-");
}

/** One resolver per environment: it knows no other environment's names, so it cannot tell them. */
export function resolverConfig(given: {
  readonly gateway: string;
  readonly hostsFile: string;
  readonly pidFile: string;
  readonly serversFile: string;
  readonly isAskingOutside: boolean;
}): string {
  return [
    `listen-address=${given.gateway}`,
    // Not `bind-dynamic`: then each resolver lists all interfaces of the host whenever one changes.
    "bind-interfaces",
    `pid-file=${given.pidFile}`,
    "user=nobody",
    "no-hosts",
    `addn-hosts=${given.hostsFile}`,
    // The zone is answered here and never asked for elsewhere.
    `local=/${ZONE}/`,
    ...(given.isAskingOutside ? [] : ["no-resolv"]),
    `local-ttl=${NAME_TTL_SECONDS}`,
    "domain-needed",
    "bogus-priv",
    // An outside name that points to a private address is no answer: it would lead around the packet rules' intent.
    "stop-dns-rebind",
    // Ranges that dnsmasq does not call private, and that are nobody's on the internet.
    ...NOBODYS.map((range) => `bogus-nxdomain=${range}`),
    "cache-size=1000",
    "dns-forward-max=150",
    // Who answers for SRV records; read again on SIGHUP, as the names are.
    `servers-file=${given.serversFile}`,
    "",
  ].join("\n");
}

/**
 * The resolver of an environment's SRV records alone. dnsmasq reads these at its start only, so a changed set is a new
 * process at another port, and the environment's own resolver, which never ends, is told to ask that one.
 */
export function recordsConfig(given: {
  readonly gateway: string;
  readonly port: number;
  readonly pidFile: string;
  readonly srv: string;
}): string {
  return [
    `listen-address=${given.gateway}`,
    `port=${given.port}`,
    "bind-interfaces",
    `pid-file=${given.pidFile}`,
    "user=nobody",
    "no-hosts",
    "no-resolv",
    `local=/${ZONE}/`,
    `local-ttl=${NAME_TTL_SECONDS}`,
    "cache-size=0",
    given.srv,
  ].join("\n");
}

/** One line per domain of SRV records, with the port of the process that holds them. */
export function serversText(srv: string, gateway: string, port: number): string {
  const domains = [...srv.matchAll(/^srv-host=([^,]+),/gm)].map(([, domain]) => domain);
  return [...new Set(domains)].map((domain) => `server=/${domain}/${gateway}#${port}\n`).join("");
}
