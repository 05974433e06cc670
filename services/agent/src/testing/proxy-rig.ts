/**
 * Proxies of environments for tests: a real engine, real networks with their packet filter, real containers. The machine
 * plays another host, through whose edge requests come; apps are processes in a namespace on an environment's bridge.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import type { Server } from "node:http";
import { join } from "node:path";
import type { EnvironmentId, HostId } from "@berth/shared/domain/ids.ts";
import { systemClock } from "@berth/shared/kit/clock.ts";
import { type Log, silentLog } from "@berth/shared/kit/log.ts";
import { startTestEngine, type TestEngine } from "@berth/shared/testing/real-engine.ts";
import type { CertificateSource } from "../edge/core/edge-tls.ts";
import { HostNetworks } from "../network/host-networks.ts";
import { Kernel } from "../network/shell/kernel.ts";
import { NetworkFiles } from "../network/shell/network-files.ts";
import { NetworkHands } from "../network/shell/network-hands.ts";
import { QuietListeners } from "../network/shell/quiet-listeners.ts";
import { Resolvers } from "../network/shell/resolvers.ts";
import { Wireguard } from "../network/shell/wireguard.ts";
import { Engine } from "../outbound/docker.ts";
import { ProxyEngine } from "../outbound/engine-proxies.ts";
import { readSeccompProfile } from "../outbound/host-files.ts";
import { runCommand } from "../outbound/run-command.ts";
import { EnvironmentProxies } from "../proxies/environment-proxies.ts";
import type { EnvironmentProxiesGiven } from "../proxies/proxies-given.ts";
import { ProxyImage } from "../proxies/shell/proxy-image.ts";
import { testIdentity, testNetworkService } from "./test-network.ts";

const POD_ID = "pod-test";
const APP_PORT = 8080;
/** TCP in the app's namespace to a socket file, which no namespace hides. */
const RELAY = `import { connect, createServer } from "node:net";
const [path, address, port] = process.argv.slice(2);
createServer((client) => {
  const app = connect(path);
  client.on("error", () => app.destroy());
  app.on("error", () => client.destroy());
  client.pipe(app).pipe(client);
}).listen(Number(port), address, () => console.log("listens"));
`;

export interface ProxyPlace {
  readonly engine: TestEngine;
  readonly slice: string;
  readonly addressOfEdge: string;
  /** Another life of the agent's part: what runs is adopted. */
  openProxies(more: ProxiesMore): EnvironmentProxies;
  /** Makes the app an instance in the environment. @returns where */
  startApp(app: Server, nth?: number): Promise<{ readonly address: string; readonly port: number }>;
  close(): Promise<void>;
}

export type ProxiesMore = Pick<EnvironmentProxiesGiven, "served" | "changed"> & {
  readonly tlsPort: number;
  readonly certificates: CertificateSource;
  readonly heldDir?: EnvironmentProxiesGiven["heldDir"];
  /** Another one is another form of proxies. */
  readonly seccomp?: string;
  /** Plays another host of the environment, on the same bridge: with a part of its network, and proxies of its own. */
  readonly as?: { readonly podId: string; readonly hostId: HostId; readonly slice: string };
  readonly log?: Log;
};

export async function startProxyPlace(environmentId: EnvironmentId, hostId: HostId): Promise<ProxyPlace> {
  const testEngine = await startTestEngine();
  const children: ChildProcess[] = [];
  const namespaces: string[] = [];
  const close = async () => {
    for (const child of children) child.kill("SIGKILL");
    for (const name of namespaces) await runCommand(["ip", "netns", "del", name]).catch(() => undefined);
    await testEngine.close();
  };
  try {
    const { engine, networks } = await openNetworks(testEngine, hostId);
    await networks.ensure(environmentId);
    const network = networks.desired()?.networks.find((one) => one.environmentId === environmentId);
    if (network === undefined) throw new Error("the environment has no network");
    const { slice, gateway, engineNetwork: networkName, bridge } = network;
    const seccomp = await readSeccompProfile();
    const own = { podId: POD_ID, hostId, slice };
    const proxied = new Map<string, readonly string[]>();
    const openProxies = ({
      log = silentLog,
      heldDir = async () => null,
      as: host = own,
      ...more
    }: ProxiesMore) => {
      const { podId } = host;
      const proxyEngine = new ProxyEngine(testEngine.socket, podId);
      const hostCidr = `${testEngine.peerAddress}/32`;
      return new EnvironmentProxies({
        ...{ podId, hostId: host.hostId, engine, proxyEngine, seccomp, clock: systemClock },
        ...{ log, heldDir, ...more, accessLog: true, cgroupParent: null },
        dir: join(testEngine.folder, "host", podId === POD_ID ? "proxies" : `proxies-${podId}`),
        image: new ProxyImage(proxyEngine),
        network: async () => ({ networkName, slice: host.slice, gateway, hostCidr }),
        addresses: (addresses) => {
          proxied.set(podId, addresses);
          return networks.setProxies([...proxied.values()].flat());
        },
        started: async () => undefined,
      });
    };
    return {
      ...{ engine: testEngine, slice, addressOfEdge: testEngine.peerAddress, openProxies, close },
      startApp: async (app, nth = 1) => {
        const name = `bta${nth}-${process.pid}`;
        namespaces.push(name);
        const address = slice.replace(/(\d+)\/\d+$/, (_, last: string) => String(Number(last) + 19 + nth));
        await attach({ name, engine: testEngine, bridge, address, bits: slice.split("/")[1] ?? "", gateway });
        children.push(await relay(testEngine.folder, name, app, address));
        return { address, port: APP_PORT };
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openNetworks(testEngine: TestEngine, hostId: HostId) {
  const hostDir = join(testEngine.folder, "host");
  await mkdir(hostDir, { recursive: true });
  const engine = new Engine(testEngine.socket, POD_ID);
  const log = silentLog;
  const networks = new HostNetworks({
    ...{ engine, log, clock: systemClock, identity: testIdentity(testEngine, hostId) },
    hands: new NetworkHands({
      ...{ engine, log, podId: POD_ID, kernel: new Kernel(log, testEngine.commandPrefix) },
      wireguard: new Wireguard("wireguard-go", testEngine.commandPrefix),
      quiet: new QuietListeners(silentLog),
      nowMs: () => systemClock.monotonicMs(),
    }),
    resolvers: new Resolvers(join(testEngine.folder, "resolvers"), null, testEngine.commandPrefix),
    files: new NetworkFiles(hostDir),
    ask: testNetworkService(testEngine, hostId),
    ...{ allowedPrivate: [], mailRelays: [], leaveAfterMs: 3_600_000 },
  });
  await networks.open();
  return { engine, networks };
}

async function attach(given: {
  readonly name: string;
  readonly engine: TestEngine;
  readonly bridge: string;
  readonly address: string;
  readonly bits: string;
  readonly gateway: string;
}): Promise<void> {
  const { name, engine, bridge, address, bits, gateway } = given;
  const inside = engine.commandPrefix[1]?.split("/").at(-1) ?? "";
  const [outer, inner] = [`${name.slice(0, 4)}o${process.pid}`, `${name.slice(0, 4)}i${process.pid}`];
  const ip = (...words: string[]) => runCommand(["ip", ...words]);
  await ip("netns", "add", name);
  await ip("link", "add", outer, "netns", inside, "type", "veth", "peer", "name", inner, "netns", name);
  await ip("-n", inside, "link", "set", outer, "master", bridge, "up");
  await ip("-n", name, "addr", "add", `${address}/${bits}`, "dev", inner);
  await ip("-n", name, "link", "set", inner, "up");
  await ip("-n", name, "route", "add", "default", "via", gateway);
}

async function relay(folder: string, name: string, app: Server, address: string): Promise<ChildProcess> {
  const [path, script] = [join(folder, `${name}.sock`), join(folder, "relay.mjs")];
  app.listen(path);
  await once(app, "listening");
  await writeFile(script, RELAY);
  const argv = [`--net=/run/netns/${name}`, process.execPath, script, path, address, String(APP_PORT)];
  const child = spawn("nsenter", argv, { stdio: ["ignore", "pipe", "ignore"] });
  await once(child.stdout, "data");
  return child;
}
