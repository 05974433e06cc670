/**
 * A pod on lab hosts with a tiny app in each of two environments, for the tests of environment networks.
 *
 * The app is a static busybox: it serves its version, and inside it `wget`, `nc`, `ping` and `nslookup` are at hand.
 * Hosts leave a network a few seconds after its last job, so that a test sees it.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LabPod, labPodDown, labPodUp } from "@berth/infra/lab/lab-pod.ts";
import {
  acceptLink,
  changeEgress,
  changeEgressGateway,
  changeServiceAllow,
  createEnvironment,
  createOrg,
  createService,
  leaveLink,
  offerLink,
  removeService,
  rotateNetworkKeys,
  scaleService,
  serviceStatus,
  showAllow,
  showNetwork,
  showService,
  withdrawLink,
} from "@berth/shared/contracts/http/api.ts";
import { callRoute } from "@berth/shared/contracts/http/client.ts";
import type { EgressPolicy } from "@berth/shared/domain/egress-policy.ts";
import type { z } from "zod";
import { TinyApp } from "../faults/tiny-app.ts";
import { until } from "../git/until.ts";
import { ADDRESS_FORMAT } from "./namespaces.ts";

export interface NetworkLabGiven {
  readonly hosts: number;
  readonly index: number;
  readonly postgresPort: number;
  readonly stateDir: string;
  readonly agentEnv?: Readonly<Record<string, string>>;
  readonly say?: (line: string) => void;
}

export interface NetworkLab extends LabPod {
  /** A deployed app, with one instance per host. */
  app(environment: string, name: string, sizes?: Sizes): Promise<NetworkApp>;
  /** What `docker exec` in the app's container on a host printed, whatever its exit code. */
  inside(host: string, app: NetworkApp, command: string): Promise<string>;
  /** A command on a host, whose failure is the caller's to judge. */
  on(host: string, command: string): Promise<string>;
  /** The CLI, as the org's owner. */
  berth(words: readonly string[]): { readonly child: ChildProcess; out(): string };
  /** The CLI to its end. @returns what it printed */
  berthEnds(words: readonly string[]): Promise<string>;
  network(app: NetworkApp): Promise<z.infer<typeof showNetwork.reply>>;
  /** One side's word about the link from `consumer` to `provider`'s port 8080. @returns its state, or null */
  link(
    say: "offer" | "withdraw" | "accept" | "leave",
    provider: NetworkApp,
    consumer: NetworkApp,
  ): Promise<string | null>;
  egress(app: NetworkApp, policy: EgressPolicy): Promise<unknown>;
  /** Lets what the app's environment sends out leave through a host; null: through each its own. */
  gateway(app: NetworkApp, gateway: { host: string; address?: string } | null): Promise<unknown>;
  /** Sets the app's allow-list. Ends when every edge said that it holds to it. */
  allow(app: NetworkApp, sources: string[] | null): Promise<void>;
  rotate(app: NetworkApp): Promise<{ readonly keyGeneration: number }>;
  close(): Promise<void>;
}

export interface NetworkApp {
  readonly environment: string;
  readonly name: string;
  readonly id: string;
  readonly environmentId: string;
  readonly hostname: string;
  /** Host → address of its instance. */
  addresses(): Promise<ReadonlyMap<string, string>>;
  scale(instances: number, sizes?: Sizes): Promise<void>;
  remove(): Promise<void>;
}

export interface Sizes {
  readonly memoryBytes: number;
  readonly cpuMillis: number;
  readonly diskBytes?: number;
}

export const ORG = "acme";
const readyTimeoutMs = 90_000;
/** What is asked for this is taken from what is measured. */
const scaleLookMs = 100;

export async function startNetworkLab(given: NetworkLabGiven): Promise<NetworkLab> {
  const { hosts, index, postgresPort, stateDir, agentEnv = {} } = given;
  const say = given.say ?? ((line: string): void => console.log(`   ${line}`));
  const running = await labPodUp({
    ...{ hosts, stateDir, index, cacheDir: join(tmpdir(), "berth-lab-cache") },
    settings: {
      ...{ postgresPort, natsMonitorPort: postgresPort + 1, stackImage: false },
      serviceEnv: {
        agent: { BERTH_AGENT_LEAVE_AFTER_MS: "3000", ...agentEnv },
        // An agent that is killed on a slow machine takes its time to come back: its jobs stay where they are.
        scheduler: { BERTH_DRAIN_MS: "500", BERTH_HOST_LOST_AFTER_MS: "300000" },
      },
    },
    environment: process.env,
    progress: say,
    writeCredentials: false,
  });
  const call = { apiUrl: running.pod.apiUrl, token: running.pod.adminToken };
  // A lab that was kept has it.
  await callRoute(call, createOrg, { body: { name: ORG } }).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== "name-taken") throw error;
  });
  const on = async (host: string, command: string): Promise<string> => {
    const { stdout, stderr } = await running.lab.host(host).exec(["sh", "-c", command], 30_000);
    return stdout + stderr;
  };
  return {
    ...running,
    on,
    berth: (words) => startCli(call, words, stateDir),
    berthEnds: async (words) => {
      const cli = startCli(call, words, stateDir);
      const [code] = (await once(cli.child, "close")) as [number];
      if (code !== 0) throw new Error(`berth ${words.join(" ")} ended with ${code}`);
      return cli.out();
    },
    network: ({ environment }) => callRoute(call, showNetwork, { params: { org: ORG, environment } }),
    rotate: ({ environment }) => callRoute(call, rotateNetworkKeys, { params: { org: ORG, environment } }),
    egress: ({ environment }, body) =>
      callRoute(call, changeEgress, { params: { org: ORG, environment }, body }),
    gateway: ({ environment }, gateway) =>
      callRoute(call, changeEgressGateway, { body: { org: ORG, environment, gateway } }),
    allow: async ({ environment, name }, sources) => {
      const params = { org: ORG, environment };
      await callRoute(call, changeServiceAllow, { params: { ...params, service: name }, body: { sources } });
      await until(
        "every edge to hold to it",
        async () => (await callRoute(call, showAllow, { params })).enforced || undefined,
        readyTimeoutMs,
      );
    },
    link: (word, provider, consumer) => sayLink(call, word, provider, consumer),
    app: (environment, name, sizes) => makeApp(running, given, { environment, name, sizes }),
    inside: async (host, app, command) => {
      const id = (await on(host, `docker ps -q --filter label=berth.service=${app.id}`)).trim();
      if (!/^[0-9a-f]+$/.test(id)) throw new Error(`${host} has not one container of ${app.name}: ${id}`);
      const { stdout, stderr } = await running.lab
        .host(host)
        .exec(["docker", "exec", id, "/bin/busybox", "sh", "-c", command], 30_000);
      return stdout + stderr;
    },
    close: async () => {
      await labPodDown(stateDir, say);
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

const CLI = join(import.meta.dirname, "../../packages/cli/src/main.ts");

function startCli(
  { apiUrl, token }: { apiUrl: string; token: string },
  words: readonly string[],
  home: string,
) {
  const env = { ...process.env, BERTH_API: apiUrl, BERTH_TOKEN: token, HOME: home };
  const child = spawn(process.execPath, [CLI, ...words], { env, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
  });
  return { child, out: () => said };
}

const LINK_ROUTES = { offer: offerLink, withdraw: withdrawLink, accept: acceptLink, leave: leaveLink };

async function sayLink(
  call: { readonly apiUrl: string; readonly token: string },
  word: keyof typeof LINK_ROUTES,
  provider: NetworkApp,
  consumer: NetworkApp,
): Promise<string | null> {
  const isOffering = word === "offer" || word === "withdraw";
  const params = { org: ORG, environment: (isOffering ? provider : consumer).environment };
  const named = { service: provider.name, port: 8080 };
  const offer = { ...named, to: { org: ORG, environment: consumer.environment } };
  const accepted = { ...named, org: ORG, environment: provider.environment };
  const body = isOffering ? offer : accepted;
  const reply: object = await callRoute(call, LINK_ROUTES[word] as typeof offerLink, {
    params,
    body: body as typeof offer,
  });
  return "state" in reply ? String(reply.state) : null;
}

async function makeApp(
  { pod, lab }: LabPod,
  { hosts: instances, stateDir }: NetworkLabGiven,
  { environment, name, sizes }: { environment: string; name: string; sizes: Sizes | undefined },
): Promise<NetworkApp> {
  const call = { apiUrl: pod.apiUrl, token: pod.adminToken };
  const params = { org: ORG, environment, service: name };
  await callRoute(call, createEnvironment, { params: { org: ORG }, body: { name: environment } });
  await callRoute(call, createService, { params, body: { name, deployBranch: "main", healthPath: null } });
  const { id, gitUrl, url } = await callRoute(call, showService, { params });
  const tiny = await TinyApp.make(mkdtempSync(join(stateDir, "app-")));
  await tiny.commit(`${environment}-${name}`);
  const pushed = await tiny.push(gitUrl, pod.adminToken);
  if (!pushed.ok) throw new Error(`the push of ${name} failed: ${pushed.output}`);
  const status = () => callRoute(call, serviceStatus, { params });
  const scale = async (count: number, sizes: Partial<Sizes> = {}) => {
    await callRoute(call, scaleService, {
      params,
      body: { processes: [{ process: "web", scale: count, ...sizes }] },
    });
    await until(
      `${count} instances of ${name}`,
      async () => {
        const { instances: found } = await status();
        const well = found.every((one) => one.ready && one.inRotation);
        return found.length === count && (count === 0 || well) ? true : undefined;
      },
      readyTimeoutMs,
      scaleLookMs,
    );
  };
  // In two steps: other sizes are another release, and the one before would get more instances only to lose them.
  if (sizes !== undefined) await scale(1, sizes);
  await scale(instances);
  const environmentId = await environmentOf(
    lab.hosts.map((host) => host.exec.bind(host)),
    id,
  );
  return {
    ...{ environment, name, id, environmentId, hostname: new URL(url).hostname, scale },
    addresses: () => addressesOf(lab, id),
    remove: async () => {
      await callRoute(call, removeService, { params });
    },
  };
}

async function addressesOf(lab: LabPod["lab"], serviceId: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const format = ADDRESS_FORMAT;
  for (const { name, exec } of lab.hosts) {
    const command = `docker ps -q --filter label=berth.service=${serviceId} | xargs -r docker inspect -f '${format}'`;
    const { stdout } = await exec(["sh", "-c", command]);
    for (const address of stdout.split("\n").filter(Boolean)) found.set(name, address);
  }
  return found;
}

type Exec = LabPod["lab"]["hosts"][number]["exec"];

async function environmentOf(hosts: readonly Exec[], serviceId: string): Promise<string> {
  for (const exec of hosts) {
    const format = '{{.Label "berth.environment"}}';
    const { stdout } = await exec([
      ...["docker", "ps", "--filter", `label=berth.service=${serviceId}`, "--format", format],
    ]);
    if (stdout.trim() !== "") return stdout.trim().split("\n")[0] ?? "";
  }
  throw new Error(`no host has a container of ${serviceId}`);
}

/** One request through the edge of `address`. @returns status and body; status 0 when nothing answered */
export function throughEdge(
  address: string,
  hostname: string,
  path: string,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve) => {
    const asked = request(
      { host: address, port: 8000, path, headers: { host: hostname }, timeout: 5000, agent: false },
      (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => {
          body += chunk.toString("utf8");
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      },
    );
    asked.on("timeout", () => asked.destroy());
    asked.on("error", (error) => resolve({ status: 0, body: error.message }));
    asked.end();
  });
}
