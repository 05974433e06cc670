/** SIGKILL at every crash point of a push: afterwards a head has exactly one deploy, one fact and one bundle. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@berth/shared/kit/ids.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { GitPod } from "./git-pod.ts";
import { addService, startGitPod } from "./git-pod.ts";
import { until } from "./until.ts";
import { WorkTree } from "./work-tree.ts";

let pod: GitPod;
beforeAll(async () => {
  pod = await startGitPod();
  await startCanary();
}, 120_000);
afterAll(() => pod?.close(), 60_000);

/** A pushed service whose row a test may take away, to see that a repair run passed. */
async function startCanary(): Promise<void> {
  const tree = await WorkTree.make(pod.dir);
  await tree.commit({ a: "canary" });
  const running = tree.push(pod.remote());
  await until("the canary's push", () => pushOf(pod.ids.service));
  process.kill(-(running.child.pid ?? 0), "SIGINT");
  await running.result;
}

async function pushOf(
  serviceId: string,
): Promise<{ deploy_id: string; commit: string; user_id: string } | undefined> {
  return (await pod.db.query("select * from git.pushes where service_id = $1", [serviceId])).rows[0];
}

async function repairRan(): Promise<void> {
  await pod.db.query("delete from git.pushes where service_id = $1", [pod.ids.service]);
  await until("a repair run", () => pushOf(pod.ids.service));
}

async function crashDuringPush(point: string, name: string) {
  const serviceId = newId("service");
  await addService(pod.db, serviceId, pod.ids.org, pod.ids.environment, name);
  const tree = await WorkTree.make(pod.dir);
  const commit = await tree.commit({ name });
  await pod.stopService();
  await pod.startService({ BERTH_CRASH_AT: point });
  const running = tree.push(pod.remote(name));
  await pod.serviceEnded();
  const result = await running.result;
  await pod.startService();
  return { serviceId, tree, commit, result };
}

test.each(["git.after-ref-update", "git.after-bundle", "git.after-row"])(
  "killed at %s: the deploy exists once",
  async (point) => {
    const { serviceId, commit } = await crashDuringPush(point, point.replaceAll(".", "-"));
    const push = await until("the repaired push", () => pushOf(serviceId));
    // Further runs change nothing.
    await repairRan();
    await repairRan();
    const { rowCount } = await pod.db.query("select 1 from git.pushes where service_id = $1", [serviceId]);
    expect(rowCount).toBe(1);
    expect(push).toMatchObject({ commit, user_id: pod.ids.user });
    const facts = await pod.db.query("select payload from git.outbox where payload->>'serviceId' = $1", [
      serviceId,
    ]);
    expect(facts.rowCount).toBe(1);
    const bundles = await readdir(join(pod.dir, "objects/bundles", serviceId));
    expect(bundles).toContain(`${push.deploy_id}.tar.zst`);
    // An interrupted bundle is known by its attempt, so it will be removed.
    const attempts = await pod.db.query("select 1 from git.bundle_attempts where bundle_key like $1", [
      `bundles/${serviceId}/%`,
    ]);
    expect(bundles.length).toBe(1 + (attempts.rowCount ?? 0));
  },
  60_000,
);

test("killed before the refs change: the push fails, nothing is stored, the next push works", async () => {
  const { serviceId, tree, commit, result } = await crashDuringPush("git.before-ref-update", "before");
  expect(result.code).not.toBe(0);
  expect((await pod.db.query("select 1 from git.pushes where service_id = $1", [serviceId])).rowCount).toBe(
    0,
  );
  const again = tree.push(pod.remote("before"));
  expect((await until("the push", () => pushOf(serviceId))).commit).toBe(commit);
  process.kill(-(again.child.pid ?? 0), "SIGINT");
  await again.result;
}, 60_000);

test("PostgreSQL is away at the worst moment: the pusher is told, the repair makes the deploy later", async () => {
  const serviceId = newId("service");
  await addService(pod.db, serviceId, pod.ids.org, pod.ids.environment, "unlucky");
  const tree = await WorkTree.make(pod.dir);
  const commit = await tree.commit({ a: "unlucky" });
  await pod.db.query("alter table git.pushes rename to pushes_away");
  const { code, output } = await tree.push(pod.remote("unlucky")).result;
  await pod.db.query("alter table git.pushes_away rename to pushes");
  expect(code).toBe(0);
  expect(output).toContain("Your commit is safe");
  expect((await until("the repaired push", () => pushOf(serviceId), 30_000)).commit).toBe(commit);
}, 60_000);
