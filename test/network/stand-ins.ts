/** What is around the containers: hosts, control plane, and addresses of the world that hosts of the lab stand in for. */
import type { LabHost } from "@berth/infra/lab/lab.ts";
import type { Member, Row } from "./isolation.ts";
import { netnsOf } from "./namespaces.ts";
import type { NetworkLab } from "./network-lab.ts";
import type { Ask } from "./probe-order.ts";

const metadata = "169.254.169.254";
const udpPort = 9081;

const internetOf = (host: LabHost): string => `203.0.113.${host.name.slice(1)}`;
const privateOf = (host: LabHost): string => `192.168.77.${host.name.slice(1)}`;

/** Addresses of the world that this host stands in for. */
export function standInsOf(hosts: readonly LabHost[], host: LabHost): string[] {
  return [internetOf(host), privateOf(host), ...(host === hosts.at(-1) ? [metadata] : [])];
}

/** Each host has an address of the internet and one of a private network; the last one is the metadata service too. */
export async function standIn(hosts: readonly LabHost[]): Promise<() => Promise<void>> {
  const undo: (() => Promise<void>)[] = [];
  const sh = async (host: LabHost, script: string): Promise<void> => {
    const { code, stderr } = await host.exec(["sh", "-c", script]);
    if (code !== 0) throw new Error(`${host.name}: ${script}: ${stderr.trim()}`);
  };
  for (const host of hosts) {
    for (const address of standInsOf(hosts, host)) {
      await sh(host, `ip address replace ${address}/32 dev lo`);
      undo.push(() => sh(host, `ip address delete ${address}/32 dev lo`));
      for (const other of hosts.filter((one) => one !== host)) {
        await sh(other, `ip route replace ${address}/32 via ${host.address}`);
        undo.push(() => sh(other, `ip route delete ${address}/32`));
      }
    }
  }
  return async () => {
    for (const one of undo.reverse()) await one();
  };
}

interface Place {
  readonly target: string;
  readonly to: string;
  readonly reached?: boolean;
  readonly ports: readonly number[];
  /** UDP and ICMP too. */
  readonly all?: boolean;
  /** Who can reach it. */
  readonly control: string;
}

export function outsideAsks(lab: NetworkLab, from: Member, members: readonly Member[]): Row[] {
  return [...hostPlaces(lab, from, members), ...controlPlane(lab, from), ...world(lab, from)].flatMap(
    (place) => asksOf(place, from),
  );
}

function asksOf(
  { target, to, reached = false, ports, all = true, control: netns }: Place,
  from: Member,
): Row[] {
  const asks: Ask[] = [
    ...ports.map((port) => ({ kind: "tcp" as const, to, port })),
    ...(all ? [{ kind: "udp" as const, to, port: udpPort }] : []),
    ...(all ? [{ kind: "icmp" as const, to, port: 0 }] : []),
  ];
  return asks.map((ask) => ({
    ...{ group: "outside", target, from, ask, control: { netns, ask } },
    reached: reached && ask.port !== 25,
  }));
}

function hostPlaces({ lab, pod }: NetworkLab, from: Member, members: readonly Member[]): Place[] {
  const { edgePort } = pod.settings;
  const ports = [22, 2375, edgePort];
  const own = netnsOf(from.host, 1);
  const nodes = lab.hosts.flatMap((host): Place[] => {
    const which = host === from.host ? "own host" : "other host";
    const itself = netnsOf(host, 1);
    const mesh = `10.127.${host.name.slice(1)}.1`;
    return [
      { target: `${which}: node address`, to: host.address, ports, control: own },
      { target: `${which}: mesh address`, to: mesh, ports: [22, edgePort], control: itself },
    ];
  });
  const gateways = members
    .filter(({ host }) => host === from.host)
    .map(({ gateway, app }): Place => {
      const target = app === from.app ? "own bridge's address" : "other environment's bridge";
      return { target, to: gateway, ports, control: own };
    });
  const [neighbour] = members.filter(({ host, app }) => host === from.host && app !== from.app);
  const sixth: Place[] = [
    { target: "own bridge, IPv6", to: from.gateway6, ports, control: own },
    ...(neighbour === undefined
      ? []
      : [{ target: "other environment's bridge, IPv6", to: neighbour.gateway6, ports, control: own }]),
  ];
  return [...nodes, ...gateways, ...sixth];
}

function controlPlane({ lab, pod }: NetworkLab, from: Member): Place[] {
  const { apiPort, gitPort, natsPort, registryPort } = pod.settings;
  const [to, control] = [lab.machineAddress, netnsOf(from.host, 1)];
  const parts = { api: apiPort, git: gitPort, nats: natsPort, registry: registryPort };
  return Object.entries(parts).map(([name, port]) => ({
    ...{ target: `control plane: ${name}`, to, ports: [port], all: false, control },
  }));
}

function world({ lab }: NetworkLab, from: Member): Place[] {
  const other = lab.hosts.find((host) => host !== from.host) as LabHost;
  const control = netnsOf(from.host, 1);
  return [
    { target: "metadata address", to: metadata, ports: [80], control },
    { target: "private network", to: privateOf(other), ports: [22, 80], control },
    { target: "internet", to: internetOf(other), reached: true, ports: [80], control },
    { target: "internet, SMTP", to: internetOf(other), reached: false, ports: [25], all: false, control },
  ];
}
