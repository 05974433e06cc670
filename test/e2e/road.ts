/** The whole road for each sample: pushed with git, answers through every edge, placed by bids, spread, traced. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { until } from "../git/until.ts";
import type { App, Customer, Pushed, Replies } from "./customer.ts";
import type { E2eLab } from "./e2e-lab.ts";
import { get, getUntil } from "./edge.ts";
import { dockerfileApp } from "./small-apps.ts";
import { watchToEnd } from "./watch.ts";

interface Given {
  readonly lab: () => E2eLab;
  readonly customer: () => Customer;
}

const everyKey = `processes:
  web:
    command: exec node server.js
    scale: 2
    memory: 100MB
    cpu: 0.25
    health: /healthz
    start-deadline: 45s
    stop-grace: 3s
    min-ready: 1s
    canary: 1
    batch: 2
placement:
  apart: true
  labels: {}
deploy:
  progress-deadline: 3m
sleep:
  after: 12h
  level: frozen
env:
  COLOUR: blue
`;

type Decision = Replies["why"]["decisions"][number];

export function describeRoad({ lab, customer }: Given): void {
  describe("the road", () => {
    let last: Pushed;

    test.each(["static", "node", "python", "dockerfile"])("the %s sample", async (sample) => {
      const app = await customer().app(`hello-${sample}`, sample);
      last = await app.push();
      expect(last.code, last.output).toBe(0);
      console.log(last.output);
      expect(last.output).toContain(app.service.url);
      for (const { address } of lab().lab.hosts) {
        const page = await get(address, app.service.url);
        expect(page).toMatchObject({ status: 200, body: expect.stringContaining("Hello from ") });
        const version = await get(address, new URL("/version", app.service.url).href);
        expect(version).toMatchObject({ status: 200, body: expect.stringContaining(last.commit) });
      }
    });

    test("a berth.yaml changes what runs: every key of it", async () => {
      const app = await customer().app("configured", { ...dockerfileApp, "berth.yaml": everyKey });
      const wrong = await customer().app("misconfigured", {
        ...dockerfileApp,
        "berth.yaml": "env:\n  PROT: 1\nprocess: {}\n",
      });
      const refused = await wrong.push();
      console.log(refused.output);
      expect(refused.output).toContain('berth.yaml:3:1  unknown key "process"; did you mean processes?');
      const pushed = await app.push();
      expect(pushed.code, pushed.output).toBe(0);
      const { instances } = await app.statusUntil(
        ({ instances }) => instances.filter((one) => one.inRotation).length === 2,
      );
      expect(new Set(instances.map(({ host }) => host)).size).toBe(2); // apart
      const [spec] = await lab().query(
        "select j.spec from scheduler.jobs j where j.service_id = $1 and j.process = 'web' order by j.created_at desc limit 1",
        [app.service.id],
      );
      expect(spec).toMatchObject({
        spec: {
          command: "exec node server.js",
          resources: { memoryBytes: 100 * 1024 ** 2, cpuMillis: 250 },
          readiness: { httpPath: "/healthz", deadlineMs: 45_000 },
          stopGraceMs: 3000,
          constraints: { apart: true },
          env: { COLOUR: "blue" },
        },
      });
      const hash = new URL("/environment-hash?name=COLOUR", app.service.url).href;
      const blue = createHash("sha256").update("blue").digest("hex");
      expect((await get(lab().lab.host("h1").address, hash)).body).toBe(blue);
      const [one] = instances;
      const filter = `label=berth.job=${one?.jobId ?? ""}`;
      const id = await lab().docker(one?.host ?? "", "ps", "--quiet", "--filter", filter);
      const format = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}";
      const limits = await lab().docker(one?.host ?? "", "inspect", "--format", format, id.trim());
      expect(limits.trim()).toBe(`${100 * 1024 ** 2} 250000000`);
      await customer().berth(["services", "rm", "configured", "--yes"]);
    });

    test("one trace from the push to the first 200, and stages that explain the time", async () => {
      // Spans travel in batches: the last one may still be on its way when the push ends.
      const shown = await until("the first response's span", async () => {
        const reply = await customer().json("deploy", ["deploys", "show", last.deployId ?? ""]);
        return reply.spans.some(({ name }) => name === "first-response") ? reply : undefined;
      });
      console.log(await customer().berth(["deploys", "show", last.deployId ?? ""]));
      expect(shown.firstResponse?.status).toBe(200);
      expect([...new Set(shown.spans.map(({ traceId }) => traceId))]).toEqual([shown.traceId]);
      const services = new Set(shown.spans.map(({ service }) => service));
      expect([...services]).toEqual(
        expect.arrayContaining(["git", "builder", "api", "scheduler", "secrets", "agent", "router"]),
      );
      const [root] = shown.spans.filter(({ parentSpanId }) => parentSpanId === null);
      expect(root).toMatchObject({ service: "git", name: "git push" });
      const ends = shown.spans.map(({ endedAtMs, name }) => ({ endedAtMs, name }));
      expect(ends.sort((a, b) => b.endedAtMs - a.endedAtMs)[0]?.name).toBe("first-response");
      expect(shown.timeline.coveredShare).toBeGreaterThanOrEqual(0.95);
    });

    test("scale web=3 lands on three hosts, and a request reaches every replica", async () => {
      const app = await customer().app("wide", dockerfileApp);
      const pushed = await app.push();
      expect(pushed.code, pushed.output).toBe(0);
      await customer().berth(["scale", "wide", "web=3"]);
      const { instances } = await app.statusUntil(
        ({ instances }) => instances.filter((one) => one.ready && one.inRotation).length === 3,
      );
      expect(new Set(instances.map(({ host }) => host)).size).toBe(3);
      for (const { address } of lab().lab.hosts) await expectEveryReplica(address, app, 3);
    });

    test("why names every host's bid, the winner and every refusal", async () => {
      // 40 GB fit nowhere; of two times 3 GB the second does not fit beside the first.
      const app = await customer().app("large", dockerfileApp);
      expect((await app.push()).code).toBe(0);
      const nowhere = await scaleTo(app, "web=1", "40GB");
      expect((await watchToEnd(customer(), nowhere)).state).toBe("failed");
      const [refusedByAll] = (await customer().json("why", ["why", "large"])).decisions;
      expectWhole(refusedByAll, lab());
      expect(refusedByAll).toMatchObject({ outcome: "unplaceable", winner: null });
      expect(refusedByAll?.candidates.map(({ refusal }) => refusal?.code)).toEqual(
        Array.from({ length: 3 }, () => "not-enough-memory"),
      );

      const two = await scaleTo(app, "web=2", "3GB");
      expect((await watchToEnd(customer(), two)).state).toBe("succeeded");
      const { decisions } = await customer().json("why", ["why", "large"]);
      // The release that still serves is scaled at once, so its second instance may be decided last.
      const newest = Math.max(...decisions.map(({ release }) => release));
      const placed = decisions.filter(({ release }) => release === newest);
      console.log(await customer().berth(["why", "large", "--all"]));
      expect(placed).toHaveLength(2);
      for (const decision of placed) {
        expectWhole(decision, lab());
        expect(decision).toMatchObject({ outcome: "placed", answer: "accepted", current: true });
      }
      const second = placed.find(({ candidates }) => candidates.some(({ refusal }) => refusal !== null));
      const first = placed.find((decision) => decision !== second);
      const refusal = second?.candidates.find(({ host }) => host === first?.winner)?.refusal;
      expect(refusal?.code).toBe("not-enough-memory");
      await customer().berth(["services", "rm", "large", "--yes"]);
    });
  });
}

async function scaleTo(app: App, scale: string, memory: string): Promise<string> {
  const words = ["scale", app.name, scale, "--memory", memory, "--json"];
  const { deployId } = JSON.parse(await app.customer.berth(words)) as { deployId: string | null };
  expect(deployId).not.toBeNull();
  return deployId ?? "";
}

/** Every host is there with its bid, and with either a score or a refusal. */
function expectWhole(decision: Decision | undefined, lab: E2eLab): void {
  expect(decision?.candidates.map(({ host }) => host).sort()).toEqual(lab.lab.hosts.map(({ name }) => name));
  for (const { bid, score, refusal } of decision?.candidates ?? []) {
    expect(bid?.memoryTotalBytes).toBeGreaterThan(0);
    expect((score === null) !== (refusal === null)).toBe(true);
    if (refusal !== null) expect(refusal.detail).not.toBe("");
  }
}

export async function expectEveryReplica(hostAddress: string, app: App, count: number): Promise<void> {
  const seen = new Set<string>();
  await getUntil(hostAddress, app.service.url, ({ status, body }) => {
    if (status === 200) seen.add((JSON.parse(body) as { instance: string }).instance);
    return seen.size === count;
  });
}
