/**
 * A network service for tests of one agent: a /24 of the engine's subnet for the one environment that most jobs are
 * in, and a /26 for each other, which it may share with another host: then there is a tunnel to it, too.
 *
 * The machine that runs the test plays another host's edge: the cable into the engine's namespace has the name of
 * the mesh, and its other end the address of a host in it.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { EnvironmentNetwork, Mesh } from "@berth/shared/contracts/network.ts";
import { formatCidr, parseCidr } from "@berth/shared/domain/cidr.ts";
import { OPEN_EGRESS } from "@berth/shared/domain/egress-policy.ts";
import { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { newWireguardKeys } from "@berth/shared/kit/wireguard-keys.ts";
import type { TestEngine } from "@berth/shared/testing/real-engine.ts";
import type { HeldNetwork } from "../network/core/network-state.ts";
import type { NetworkAsk } from "../network/host-networks-given.ts";
import { newTestId } from "./ids.ts";

const MESH_PORT = 17_426;
const POD_ID = "pod-test";
/** Of every job that names no other. All others are in one network. */
export const ENVIRONMENT_ID = EnvironmentId.parse(newTestId("environment"));

const OTHER_HOST = HostId.parse(newTestId("host"));
const OTHER_KEY = newWireguardKeys().publicKey;

export function testIdentity(engine: TestEngine, hostId: HostId) {
  const { nodeAddress } = engine;
  return { hostId, podId: POD_ID, nodeAddress, subnet: "10.95.0.0/24", meshPort: MESH_PORT };
}

function testMesh(engine: TestEngine, hostId: HostId): Mesh {
  const host = { port: MESH_PORT, publicKey: null, slices: [] };
  const cable = engine.peerAddress.replace(/\d+$/, "0/30");
  return {
    version: 1,
    podCidr: engine.subnet,
    hostCidr: "10.95.0.0/16",
    hosts: [
      { ...host, hostId, nodeAddress: engine.nodeAddress, subnet: "10.95.0.0/24" },
      { ...host, hostId: OTHER_HOST, nodeAddress: engine.peerAddress, subnet: cable },
    ],
  };
}

function testNetwork(
  engine: TestEngine,
  hostId: HostId,
  environmentId: EnvironmentId,
  publicKey: string,
  isShared = false,
): EnvironmentNetwork {
  const number = environmentId === ENVIRONMENT_ID ? 0 : numberOf(engine, environmentId);
  const whole = parseCidr(engine.subnet);
  if (whole === null) throw new Error(`not a network: ${engine.subnet}`);
  const address = number === 0 ? whole.address : whole.address + 256 + (number - 1) * 64;
  const subnet = formatCidr({ address, bits: number === 0 ? 24 : 26 });
  const port = 17_500 + number;
  const own = { hostId, slice: subnet, publicKey, nodeAddress: engine.nodeAddress, port };
  const half = (at: number) => formatCidr({ address: address + at * 32, bits: 27 });
  const other = { hostId: OTHER_HOST, nodeAddress: engine.peerAddress, publicKey: OTHER_KEY, port };
  const members =
    isShared && number > 0
      ? [
          { ...own, slice: half(0) },
          { ...other, slice: half(1) },
        ]
      : [own];
  return {
    environmentId,
    version: 1,
    subnet,
    keyGeneration: 0,
    members,
    names: [],
    links: [],
    egress: OPEN_EGRESS,
    gateway: null,
  };
}

/** An agent that is started again finds the same numbers. */
const numbers = new Map<string, string[]>();

function numberOf({ folder }: TestEngine, environmentId: string): number {
  const known = numbers.get(folder) ?? [];
  if (!known.includes(environmentId)) numbers.set(folder, [...known, environmentId]);
  return (numbers.get(folder) ?? []).indexOf(environmentId) + 1;
}

/** @param isShared whether another host, which never answers, is in every environment but the first */
export function testNetworkService(engine: TestEngine, hostId: HostId, isShared = false): NetworkAsk {
  const mesh = testMesh(engine, hostId);
  return {
    join: async ({ environmentId, publicKey, meshVersion }) => {
      const network = testNetwork(engine, hostId, environmentId, publicKey, isShared);
      return { answer: "joined", network, mesh: meshVersion > 0 ? null : mesh };
    },
    leave: async () => {},
    applied: () => {},
    joinMesh: async () => mesh,
    get: async () => ({ versions: {}, networks: [], mesh: null, gatewayOf: [] }),
  };
}

/** The files of a host that joined an environment earlier. */
export async function writeTestNetwork(
  engine: TestEngine,
  hostDir: string,
  hostId: HostId,
  environmentId: EnvironmentId,
): Promise<void> {
  const folder = join(hostDir, "networks");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const keys = newWireguardKeys();
  const network = testNetwork(engine, hostId, environmentId, keys.publicKey);
  const held: HeldNetwork = { format: 1, environmentId, keys, keyGeneration: 0, state: "joined", network };
  await writeFile(join(folder, `${environmentId}.json`), JSON.stringify(held));
  const mesh = { format: 1, keys: newWireguardKeys(), mesh: testMesh(engine, hostId) };
  await writeFile(join(folder, "mesh.json"), JSON.stringify(mesh));
}
