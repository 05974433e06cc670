/** Pushes with the real git client against the real service and PostgreSQL; NATS is away all the time. */
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { newId } from "@berth/shared/kit/ids.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { GitPod } from "./git-pod.ts";
import { addService, startGitPod } from "./git-pod.ts";
import { until } from "./until.ts";
import { WorkTree } from "./work-tree.ts";

let pod: GitPod;
beforeAll(async () => {
  pod = await startGitPod();
}, 120_000);
afterAll(() => pod?.close(), 60_000);

interface PushRow {
  readonly deploy_id: string;
  readonly user_id: string | null;
  readonly bundle_key: string;
  readonly stages: { name: string; startedAtMs: number; endedAtMs: number }[];
  readonly traceparent: string | null;
}

function pushOf(commit: string): Promise<PushRow> {
  return until(`the push of ${commit}`, async () => {
    const { rows } = await pod.db.query<PushRow>("select * from git.pushes where commit = $1", [commit]);
    return rows[0];
  });
}

/** Plays the builder: the build of this deploy failed. */
async function failBuild(deployId: string): Promise<void> {
  await pod.db.query(
    `insert into builder.builds (id, deploy_id, org_id, environment_id, service_id, commit, bundle_key, state, reason_code, reason, finished_at, pushed_at)
     select $2, deploy_id, org_id, environment_id, service_id, commit, bundle_key, 'failed', 'build-command-failed', $3, now(), created_at from git.pushes where deploy_id = $1`,
    [deployId, newId("build"), "npm install ended with 1 \u001b]0;owned\u0007"],
  );
}

/** Plays the api and the scheduler: released and serving. */
async function succeed(deployId: string): Promise<void> {
  const releaseId = newId("release");
  await pod.db.query(
    `insert into api.releases (id, service_id, version, deploy_id, commit, image_repository, image_digest, image_bytes, processes, profile, process_settings, description, cause, config_version)
     select $2, service_id, 7, deploy_id, commit, 'o/s', 'sha256:0', 1, '{}', '{}', '[]', 'push', 'push', 0 from git.pushes where deploy_id = $1`,
    [deployId, releaseId],
  );
  await pod.db.query(
    `insert into scheduler.deploys (id, service_id, release_id, state, finished_at)
     select deploy_id, service_id, $2, 'succeeded', now() from git.pushes where deploy_id = $1`,
    [deployId, releaseId],
  );
}

/** A service of its own for each test that pushes. */
async function newService(name: string): Promise<string> {
  const id = newId("service");
  await addService(pod.db, id, pod.ids.org, pod.ids.environment, name);
  return id;
}

test("a push becomes a bundle, a row and a fact; it ends with the URL when the deploy succeeds", async () => {
  await newService("happy");
  const tree = await WorkTree.make(pod.dir);
  const commit = await tree.commit({ "index.html": "hello", "bin/run": "#!/bin/sh\n" });
  const running = tree.push(pod.remote("happy"));
  const push = await pushOf(commit);
  expect(push.user_id).toBe(pod.ids.user);
  expect(push.traceparent).toMatch(/^00-[0-9a-f]{32}-/);
  expect(push.stages.map((stage) => stage.name)).toEqual(["discover", "receive", "bundle"]);
  const fact = await pod.db.query("select payload, headers from git.outbox where dedupe_id = $1", [
    `${push.deploy_id}.source-pushed`,
  ]);
  expect(fact.rows[0]).toMatchObject({
    payload: { commit, bundleKey: push.bundle_key },
    headers: { traceparent: push.traceparent },
  });
  const bundle = zstdDecompressSync(await readFile(join(pod.dir, "objects", push.bundle_key)));
  expect(execFileSync("tar", ["-t"], { input: bundle }).toString().trim().split("\n")).toEqual([
    "bin/",
    "bin/run",
    "index.html",
  ]);
  await succeed(push.deploy_id);
  const { code, output } = await running.result;
  expect(code).toBe(0);
  expect(output).toContain(`berth deploys watch ${push.deploy_id}`);
  expect(output).toContain("-----> Released v7");
  expect(output).toContain("http://happy-production.berth.localhost:8000");
  expect((await pod.db.query("select 1 from git.bundle_attempts")).rowCount).toBe(0);

  expect((await tree.push(pod.remote("happy")).result).output).toContain("Everything up-to-date");
  const clone = await WorkTree.make(pod.dir);
  await clone.git(["pull", "--quiet", pod.remote("happy"), "main"]);
  expect(await clone.git(["rev-parse", "HEAD"])).toBe(commit);
}, 30_000);

test("a failed deploy is unmistakable, without the escapes of its reason", async () => {
  await newService("sad");
  const tree = await WorkTree.make(pod.dir);
  const running = tree.push(pod.remote("sad"), `${await tree.commit({ a: "a" })}:refs/heads/main`);
  const push = await pushOf(await tree.git(["rev-parse", "HEAD"]));
  await failBuild(push.deploy_id);
  const { output } = await running.result;
  expect(output).toContain("!     deploy failed: build-command-failed");
  expect(output).toContain("npm install ended with 1");
  expect(output).not.toContain("owned");
  expect(output).toContain(`berth deploys show ${push.deploy_id}`);
}, 30_000);

test("after Ctrl-C the deploy is stored and the next push works", async () => {
  await newService("impatient");
  const tree = await WorkTree.make(pod.dir);
  const commit = await tree.commit({ a: "1" });
  const running = tree.push(pod.remote("impatient"));
  await until("the deploy's id", async () => /Deploy dep_/.exec(running.output()) ?? undefined);
  process.kill(-(running.child.pid ?? 0), "SIGINT");
  await running.result;
  await pushOf(commit);
  const second = await tree.commit({ a: "2" });
  const again = tree.push(pod.remote("impatient"));
  await succeed((await pushOf(second)).deploy_id);
  expect((await again.result).code).toBe(0);
}, 30_000);

test("other branches and tags are taken and not deployed", async () => {
  const id = await newService("branchy");
  const tree = await WorkTree.make(pod.dir);
  await tree.commit({ a: "1" });
  await tree.git(["tag", "-a", "v1", "-m", "one"]);
  const { code, output } = await tree.push(pod.remote("branchy"), "main:feature/x", "v1").result;
  expect(code).toBe(0);
  expect(output).toContain("Pushed to feature/x; only pushes to the deploy branch main are deployed.");
  expect((await pod.db.query("select 1 from git.pushes where service_id = $1", [id])).rowCount).toBe(0);
}, 30_000);

test("tokens: none, expired, revoked, unknown, foreign service, unknown service", async () => {
  const tree = await WorkTree.make(pod.dir);
  await tree.commit({ a: "1" });
  const bare = `${pod.url}/acme/production/shop.git`;
  expect((await tree.push(bare).result).output).toContain("could not read Username");
  const answer = await fetch(`${bare}/info/refs?service=git-receive-pack`);
  expect(answer.status).toBe(401);
  expect(answer.headers.get("www-authenticate")).toContain("Basic");
  expect(await answer.text()).toContain("API token");
  const refusals = [
    [pod.remote("shop", pod.tokens.expired), "expired on 2020-01-02"],
    [pod.remote("shop", pod.tokens.revoked), "revoked on 2020-01-02"],
    [pod.remote("shop", "berth_wrong"), "token is unknown"],
    [pod.remote("nosuch"), "There is no service acme/production/nosuch"],
    [
      pod.remote().replace("acme/production/shop", "other/production/bank"),
      "There is no service other/production/bank",
    ],
    [pod.remote("..%2f..%2fetc"), "no service of that name"],
  ] as const;
  for (const [url, text] of refusals) {
    const { code, output } = await tree.push(url).result;
    expect(code).not.toBe(0);
    expect(output).toContain(text);
  }
}, 30_000);

test("two pushes at once: one head, one deploy for it", async () => {
  const id = await newService("racy");
  const [one, two] = [await WorkTree.make(pod.dir), await WorkTree.make(pod.dir)];
  await one.commit({ a: "1" });
  await two.commit({ b: "2" });
  const pushes = [one.push(pod.remote("racy")), two.push(pod.remote("racy"))];
  const { rows } = await until("a push row", async () => {
    const found = await pod.db.query<{ deploy_id: string }>(
      "select deploy_id from git.pushes where service_id = $1",
      [id],
    );
    return found.rowCount === 0 ? undefined : found;
  });
  expect(rows.length).toBe(1);
  await succeed(rows[0]?.deploy_id ?? "");
  const codes = (await Promise.all(pushes.map((push) => push.result))).map(({ code }) => code);
  expect(codes.filter((code) => code === 0).length).toBe(1);
}, 30_000);
