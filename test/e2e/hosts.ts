/** What happens to running apps when parts of a host, or the host, or its network go away. */
import { connect } from "@berth/infra/supervisor/client.ts";
import { beforeAll, describe, expect, test } from "vitest";
import { until } from "../git/until.ts";
import type { App, Customer, Replies } from "./customer.ts";
import type { E2eLab } from "./e2e-lab.ts";
import { startLoad } from "./edge.ts";
import { expectEveryReplica } from "./road.ts";
import { dockerfileApp } from "./small-apps.ts";

interface Given {
  readonly lab: () => E2eLab;
  readonly customer: () => Customer;
}

type Instance = Replies["status"]["instances"][number];

const healTimeoutMs = 90_000;

export function describeHosts(given: Given): void {
  const { lab, customer } = given;
  describe("hosts", () => {
    let app: App;

    beforeAll(async () => {
      app = await customer().app("sturdy", dockerfileApp);
      const pushed = await app.push();
      expect(pushed.code, pushed.output).toBe(0);
      await customer().berth(["scale", "sturdy", "web=3"]);
      await app.statusUntil(allServe(3));
    });

    test("kill -9 of an agent: no container restarts, no request fails, the agent adopts", async () => {
      const before = await containers(lab(), "h1");
      expect(before.length).toBeGreaterThan(0);
      const loads = lab().lab.hosts.map(({ address }) => startLoad(address, app.service.url));
      const restartsBefore = (await agentOf(lab(), "h1")).restarts;
      await killAgent(lab(), "h1");
      await until(
        "the agent to be back",
        async () => {
          const { state, restarts } = await agentOf(lab(), "h1");
          return state === "ready" && restarts > restartsBefore ? true : undefined;
        },
        healTimeoutMs,
      );
      const killedAt = Date.now();
      await until(
        "a heartbeat of the new agent",
        async () => {
          const hosts = JSON.parse(await customer().berth(["hosts", "list", "--json"])) as HostList;
          const host = hosts.hosts.find(({ name }) => name === "h1");
          return Date.parse(host?.lastHeartbeatAt ?? "") > killedAt && host?.state === "alive"
            ? true
            : undefined;
        },
        healTimeoutMs,
      );
      const told = await Promise.all(loads.map((load) => load.stop()));
      console.log(`requests while the agent was away: ${told.map(({ count }) => count).join(", ")}`);
      expect(told.flatMap(({ failures }) => failures)).toEqual([]);
      expect(await containers(lab(), "h1")).toEqual(before);
      await app.statusUntil(allServe(3));
    });

    test("a power-cycle of a host brings the same jobs back", async () => {
      const before = (await app.status()).instances.find(({ host }) => host === "h2");
      await lab().lab.host("h2").powerCycle();
      const after = await app.statusUntil(
        (status) =>
          allServe(3)(status) &&
          status.instances.some(({ host, restartsCount, sinceMs }) =>
            host === "h2" && before !== undefined ? sinceMs !== before.sinceMs || restartsCount > 0 : false,
          ),
        healTimeoutMs,
      );
      expect(after.instances.find(({ host }) => host === "h2")?.jobId).toBe(before?.jobId);
      await expectEveryReplica(lab().lab.host("h2").address, app, 3);
    });

    test("behind a cut that lasts a host's jobs are replaced; healed, its surplus stops", async () => {
      const host = lab().lab.host("h3");
      const was = (await app.status()).instances.find((one) => one.host === "h3");
      expect(was).toBeDefined();
      await host.cut();
      try {
        const replaced = await app.statusUntil(
          ({ instances }) => instances.filter((one) => serves(one) && one.host !== "h3").length === 3,
          healTimeoutMs,
        );
        expect(replaced.instances.filter(serves).map(({ jobId }) => jobId)).not.toContain(was?.jobId);
        await expectEveryReplica(lab().lab.host("h1").address, app, 3);
      } finally {
        await host.heal();
      }
      await until(
        "the surplus to stop",
        async () => {
          const present = await jobsOn(lab(), "h3", app);
          return present.includes(was?.jobId ?? "") ? undefined : true;
        },
        healTimeoutMs,
      );
      const { instances } = await app.statusUntil(allServe(3), healTimeoutMs);
      const all = await Promise.all(lab().lab.hosts.map(({ name }) => jobsOn(lab(), name, app)));
      expect(all.flat().sort()).toEqual(instances.map(({ jobId }) => jobId).sort());
      await expectEveryReplica(host.address, app, 3);
    });
  });
}

interface HostList {
  readonly hosts: { name: string; state: string; lastHeartbeatAt: string | null }[];
}

const serves = (one: Instance): boolean => one.ready && one.inRotation;

function allServe(count: number): (status: Replies["status"]) => boolean {
  return ({ instances }) => instances.length === count && instances.every(serves);
}

async function containers(lab: E2eLab, host: string): Promise<string[]> {
  const ids = (await lab.docker(host, "ps", "--all", "--quiet", "--no-trunc")).split("\n").filter(Boolean);
  const format = "{{.Id}} {{.State.StartedAt}} {{.RestartCount}} {{.State.Pid}}";
  return (await lab.docker(host, "inspect", "--format", format, ...ids)).split("\n").filter(Boolean).sort();
}

async function jobsOn(lab: E2eLab, host: string, app: App): Promise<string[]> {
  const filter = `label=berth.service=${app.service.id}`;
  const format = '{{.Label "berth.job"}}';
  return (await lab.docker(host, "ps", "--filter", filter, "--format", format)).split("\n").filter(Boolean);
}

async function agentOf(lab: E2eLab, host: string) {
  const supervisor = await connect(lab.lab.host(host).supervisorDir);
  const agent = (await supervisor?.status())?.processes.find(({ name }) => name === "agent");
  if (agent === undefined) throw new Error(`${host} runs no agent`);
  return agent;
}

/** The process id is that of the host's own namespace. */
async function killAgent(lab: E2eLab, host: string): Promise<void> {
  const { pid } = await agentOf(lab, host);
  expect((await lab.lab.host(host).exec(["kill", "-9", String(pid)])).code).toBe(0);
}
