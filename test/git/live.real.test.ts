/** With NATS: the fact leaves, the deploy's lines reach the pusher, and an event ends the waiting at once. */
import { type LiveNats, startLiveNats } from "@berth/infra/testing/live-nats.ts";
import { DeployFinished, DeployProgressed } from "@berth/shared/contracts/deploy.ts";
import { SourcePushed } from "@berth/shared/contracts/push.ts";
import type { DeployId, ReleaseId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { GitPod } from "./git-pod.ts";
import { startGitPod } from "./git-pod.ts";
import { until } from "./until.ts";
import { WorkTree } from "./work-tree.ts";

let nats: LiveNats;
let pod: GitPod;
let builder: Bus;
let scheduler: Bus;
beforeAll(async () => {
  nats = await startLiveNats();
  const credentials = { BERTH_NATS_CREDS: await nats.credsOf("git"), BERTH_NATS_CA: nats.pki.ca.certFile };
  pod = await startGitPod({ BERTH_NATS_URL: nats.url, ...credentials });
  builder = await nats.connectAs("builder");
  scheduler = await nats.connectAs("scheduler");
}, 120_000);
afterAll(async () => {
  await builder?.close();
  await scheduler?.close();
  await pod?.close();
  await nats?.close();
}, 60_000);

test("output and steps are shown as they come, clean; the end comes with the event", async () => {
  const facts: { deployId: DeployId; serviceId: ServiceId; commit: string }[] = [];
  builder.consume(SourcePushed, {}, async (fact) => void facts.push(fact));
  const tree = await WorkTree.make(pod.dir);
  const commit = await tree.commit({ "index.html": "live" });
  const running = tree.push(pod.remote());
  const fact = await until("the fact", async () => facts[0]);
  expect(fact.commit).toBe(commit);
  const { deployId, serviceId } = fact;
  await until("the stream's start", async () => (running.output().includes("Received") ? true : undefined));
  const atMs = Date.now();
  builder.signal(DeployProgressed, { deployId, kind: "step", lines: ["Node app found"], atMs });
  builder.signal(DeployProgressed, {
    deployId,
    kind: "output",
    lines: ["npm \u001b[32mok\u001b[0m\u001b]0;owned\u0007", "added 12 packages\u001b[2J"],
    atMs,
  });
  await until("the lines", async () => (running.output().includes("added 12 packages") ? true : undefined));
  const releaseId: ReleaseId = newId("release");
  await pod.db.query(
    "insert into scheduler.deploys (id, service_id, release_id, state, reason_code, reason, finished_at) values ($1, $2, $3, 'failed', 'never-listened', null, now())",
    [deployId, serviceId, releaseId],
  );
  await scheduler.emit(DeployFinished, {
    deployId,
    serviceId,
    releaseId,
    state: "failed",
    reasonCode: "never-listened",
    reason: null,
  });
  const { code, output } = await running.result;
  expect(code).toBe(0);
  expect(output).toContain("remote: -----> Node app found");
  expect(output).toContain("npm \u001b[32mok");
  expect(output).not.toContain("owned");
  expect(output).not.toContain("\u001b[2J");
  expect(output).toContain("!     deploy failed: never-listened");
  expect(output).toContain("Listen on 0.0.0.0 and the port in the variable PORT.");
  expect(output).not.toContain("no live output");
}, 60_000);
