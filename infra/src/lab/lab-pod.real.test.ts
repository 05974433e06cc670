/**
 * The whole pod on two lab hosts: they join, bid, fall silent behind a cut, return, and survive a power cut with
 * the same identity. Needs root; brings NATS and PostgreSQL up by itself. Its own index keeps it apart.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { listHosts } from "@berth/shared/contracts/http/api.ts";
import { freePort } from "@berth/shared/testing/free-port.ts";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { z } from "zod";
import { readHostFile } from "../host/join.ts";
import { connect } from "../supervisor/client.ts";
import { hostBerthDir, type LabPod, labPodDown, labPodUp } from "./lab-pod.ts";
import { labStatus } from "./lab-status.ts";

const index = 9;
const say = (line: string): void => console.log(line);
const stateTimeoutMs = 60_000;
vi.setConfig({ testTimeout: 120_000 });

type HostView = z.infer<typeof listHosts.reply>["hosts"][number];

let stateDir: string;
let running: LabPod;

beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "berth-lab-pod-"));
  const [postgresPort, natsMonitorPort] = [await freePort(), await freePort()];
  running = await labPodUp({
    ...{ hosts: 2, stateDir, index, cacheDir: join(tmpdir(), "berth-lab-cache") },
    settings: { postgresPort, natsMonitorPort, stackImage: false },
    environment: {},
    progress: say,
    writeCredentials: false,
  });
}, 300_000);

afterAll(async () => {
  await labPodDown(stateDir, say);
  rmSync(stateDir, { recursive: true, force: true });
}, 120_000);

async function hostView(name: string): Promise<HostView> {
  const response = await fetch(new URL(listHosts.path, running.pod.apiUrl), {
    headers: { authorization: `Bearer ${running.pod.adminToken}` },
    signal: AbortSignal.timeout(5000),
  });
  const { hosts } = listHosts.reply.parse(await response.json());
  const host = hosts.find((one) => one.name === name);
  if (host === undefined) throw new Error(`the pod knows no host ${name}`);
  return host;
}

async function waitForHost(name: string, wanted: (host: HostView) => boolean): Promise<HostView> {
  const deadline = Date.now() + stateTimeoutMs;
  for (;;) {
    const host = await hostView(name);
    if (wanted(host)) return host;
    if (Date.now() > deadline) throw new Error(`not in time; last seen ${JSON.stringify(host)}`);
    await delay(200);
  }
}

const alive = (host: HostView): boolean => host.state === "alive" && host.bid !== null;

describe("a pod on two lab hosts", () => {
  test("each host joined under its own name, address and container subnet", async () => {
    const [h1, h2] = [await waitForHost("h1", alive), await waitForHost("h2", alive)];
    expect([h1.nodeAddress, h2.nodeAddress]).toEqual(running.lab.hosts.map((host) => host.address));
    expect(h1.subnet).not.toBe(h2.subnet);
  });

  test("each host runs engine, edge and agent under its own supervisor", async () => {
    const status = await labStatus(stateDir);
    for (const host of status?.hosts ?? []) {
      const names = host.processes.map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining(["dockerd", "edge", "agent"]));
      expect(host.processes.every(({ state }) => state === "ready")).toBe(true);
    }
  });

  test("an agent that is killed is started again, and the others do not notice", async () => {
    const host = running.lab.host("h1");
    const supervisor = await connect(host.supervisorDir);
    const before = (await supervisor?.status())?.processes.find(({ name }) => name === "agent");
    expect((await host.exec(["kill", "-9", String(before?.pid)])).code).toBe(0);
    await waitForRestart("h1", "agent");
    await waitForHost("h1", alive);
    const after = (await supervisor?.status())?.processes.filter(({ name }) => name !== "agent");
    expect(after?.every(({ restarts }) => restarts === 0)).toBe(true);
  });

  test("behind a cut a host is not alive to the pod, and healed it is again", async () => {
    const host = running.lab.host("h2");
    await host.cut();
    await waitForHost("h2", (seen) => seen.state !== "alive");
    expect((await hostView("h1")).state).toBe("alive");
    await host.heal();
    await waitForHost("h2", alive);
  });

  test("after a power cut a host comes back as the same host, without joining again", async () => {
    const host = running.lab.host("h1");
    const before = await hostView("h1");
    const fileBefore = await readHostFile(hostBerthDir(host));
    const cutAtMs = Date.now();
    await host.powerCycle();
    const seen = await waitForHost(
      "h1",
      (now) => alive(now) && Date.parse(now.lastHeartbeatAt ?? "") > cutAtMs,
    );
    expect({ id: seen.id, subnet: seen.subnet }).toEqual({ id: before.id, subnet: before.subnet });
    expect(await readHostFile(hostBerthDir(host))).toEqual(fileBefore);
  });

  test("down leaves the caches and nothing else", async () => {
    await running.down();
    await labPodDown(stateDir, say);
    expect(readdirSync(stateDir).filter((name) => name !== "tools" && name !== "cache")).toEqual([]);
    expect(existsSync(`/sys/class/net/berthlab${index}`)).toBe(false);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(stateDir);
    expect(existsSync(`/etc/docker/certs.d/10.99.${index}.254:7425`)).toBe(false);
    expect(commandLines().filter((line) => line.includes(stateDir))).toEqual([]);
  });
});

async function waitForRestart(hostName: string, processName: string): Promise<void> {
  const deadline = Date.now() + stateTimeoutMs;
  for (;;) {
    const host = (await labStatus(stateDir))?.hosts.find(({ name }) => name === hostName);
    const seen = host?.processes.find(({ name }) => name === processName);
    if (seen?.state === "ready" && seen.restarts > 0) return;
    if (Date.now() > deadline)
      throw new Error(`${processName} was not started again: ${JSON.stringify(seen)}`);
    await delay(100);
  }
}

function commandLines(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8");
      } catch {
        return "";
      }
    });
}
