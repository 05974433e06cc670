/** Berth's arm: `git push` to a service of one replica, asked for at one host's edge; its own stages explain it. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { LabPod } from "@berth/infra/lab/lab-pod.ts";
import { gitTokenEnv, runGit } from "@berth/infra/run-git.ts";
import {
  createEnvironment,
  createOrg,
  createService,
  listDeploys,
  scaleService,
  serviceStatus,
  showDeploy,
} from "@berth/shared/contracts/http/api.ts";
import { type ApiTarget, callRoute } from "@berth/shared/contracts/http/client.ts";
import { isFinal } from "@berth/shared/domain/job-state.ts";
import type { z } from "zod";
import { firstAnswer } from "../kit/first-answer.ts";
import { type Arm, containerLimits, deployTimeoutMs, type Sample, type Span } from "./arm.ts";
import { WorkTree } from "./work-tree.ts";

interface Params {
  readonly org: string;
  readonly environment: string;
  readonly service: string;
}
type Stage = z.infer<typeof showDeploy.reply>["timeline"]["stages"][number];

/**
 * The push's own word that the instance is ready; no edge routes to it before. Asked only from here on, as in the
 * other arms: hundreds of questions per second would slow the build down.
 */
const readyLine = /web\.1 is ready/;
const aloneTimeoutMs = 60_000;

export async function berthArm(labPod: LabPod, folder: string): Promise<Arm> {
  const { pod, lab } = labPod;
  const call: ApiTarget = { apiUrl: pod.apiUrl, token: pod.adminToken };
  // A kept lab has the services of earlier runs; host names are the pod's.
  const run = Date.now().toString(36);
  const org = `bench-${run}`;
  const params = { org, environment: "bench", service: `app-${run}` };
  await callRoute(call, createOrg, { body: { name: org } });
  await callRoute(call, createEnvironment, { params: { org }, body: { name: params.environment } });
  const service = await callRoute(call, createService, { params, body: { name: params.service } });
  const size = { process: "web", scale: 1, ...containerLimits };
  await callRoute(call, scaleService, { params, body: { processes: [size] } });
  const tree = await WorkTree.make(join(folder, "berth", "work"));
  const edge = lab.host("h1").address;
  const app = { address: edge, port: pod.settings.edgePort, host: new URL(service.url).host };
  return {
    name: "Berth",
    deploy: async () => {
      const commit = await tree.change();
      const ended = new AbortController();
      const ready = Promise.withResolvers<void>();
      const startedAtMs = performance.now();
      const startedWallMs = Date.now();
      const pushed = runGit(["push", service.gitUrl, "HEAD:refs/heads/main"], {
        cwd: tree.folder,
        env: gitTokenEnv(service.gitUrl, pod.adminToken),
        onLine: (line) => {
          if (readyLine.test(line)) ready.resolve();
        },
        timeoutMs: deployTimeoutMs,
      });
      pushed.then(
        () => ready.resolve(),
        (error: unknown) => {
          ready.resolve();
          ended.abort(error);
        },
      );
      await ready.promise;
      const answeredAtMs = await firstAnswer(app, commit, deployTimeoutMs, ended.signal);
      await pushed;
      await untilAlone(call, params);
      const stages = await readStages(call, params, commit);
      return explain(stages, startedWallMs, answeredAtMs - startedAtMs);
    },
  };
}

/** The deploy is done when traffic has moved; the old replica is stopped afterwards. */
async function untilAlone(call: ApiTarget, params: Params): Promise<void> {
  const endAtMs = performance.now() + aloneTimeoutMs;
  for (;;) {
    const { instances } = await callRoute(call, serviceStatus, { params });
    const live = instances.filter(({ state }) => !isFinal(state));
    if (live.length === 1) return;
    if (performance.now() > endAtMs)
      throw new Error(`${live.length} instances are left after a deploy of one replica`);
    await delay(100);
  }
}

async function readStages(call: ApiTarget, params: Params, commit: string): Promise<readonly Stage[]> {
  const { deploys } = await callRoute(call, listDeploys, { params });
  const deploy = deploys.find((one) => one.commit === commit);
  if (deploy === undefined) throw new Error(`there is no deploy of commit ${commit}`);
  if (deploy.state !== "succeeded")
    throw new Error(`deploy ${deploy.id} is ${deploy.state}: ${deploy.reason ?? "no reason"}`);
  const { timeline } = await callRoute(call, showDeploy, { params: { deployId: deploy.id } });
  return timeline.stages;
}

/**
 * Berth's stages on the clock of the one who pushed. A stage counts from where the ones before it ended, so that
 * the sum is the explained time; what lies after the first answer does not count.
 */
export function explain(stages: readonly Stage[], startMs: number, wallMs: number): Sample {
  const endMs = startMs + wallMs;
  const spans: Span[] = [];
  let reachedMs = startMs;
  let coveredMs = 0;
  for (const stage of stages.toSorted((a, b) => a.startedAtMs - b.startedAtMs || a.endedAtMs - b.endedAtMs)) {
    const from = Math.max(stage.startedAtMs, reachedMs);
    const to = Math.min(stage.endedAtMs, endMs);
    if (to <= from) continue;
    const gapMs = from - reachedMs;
    if (gapMs > 0) spans.push({ name: `(before ${shortName(stage)})`, ms: gapMs });
    spans.push({ name: shortName(stage), ms: to - from });
    coveredMs += to - from;
    reachedMs = to;
  }
  if (endMs > reachedMs) spans.push({ name: "(until the answer)", ms: endMs - reachedMs });
  return { wallMs, spans, coveredShare: coveredMs / wallMs };
}

function shortName({ owner, name }: Stage): string {
  return `${owner}: ${name}`;
}
