/**
 * Finds what a killed service left: heads of deploy branches without a deploy, bundles without a row, drafts of
 * repositories. Runs at the start and every period; takes no input.
 */
import { newId } from "@berth/shared/kit/ids.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { describeError } from "@berth/shared/kit/log.ts";
import type { ObjectStore } from "@berth/shared/kit/object-store.ts";
import { traceparent, withSpan } from "@berth/shared/kit/telemetry.ts";
import type { Directory, GitService } from "../outbound/directory.ts";
import type { PushStore } from "../outbound/push-store.ts";
import type { Repositories } from "../outbound/repositories.ts";
import type { HeadRecorder } from "./record-head.ts";

export interface RepairGiven {
  readonly repositories: Repositories;
  readonly directory: Directory;
  readonly pushes: PushStore;
  readonly objects: ObjectStore;
  readonly recorder: HeadRecorder;
  readonly log: Log;
}

/** Longer than the longest bundle takes: a younger attempt may be under way, here or in another process. */
const INTERRUPTED_AFTER_MS = 900_000;

export async function repairHeads(given: RepairGiven): Promise<void> {
  const ids = await given.repositories.list();
  for (const service of await given.directory.listServices(ids)) await repairOne(given, service);
  await removeInterrupted(given);
}

async function repairOne(given: RepairGiven, service: GitService): Promise<void> {
  const [head, latest] = await Promise.all([
    given.repositories.head(service.id, service.deployBranch),
    given.pushes.latest(service.id),
  ]);
  if (head === null || latest?.commit === head) return;
  const userId = await given.repositories.pusher(service.id, service.deployBranch);
  const deployId = newId("deploy");
  try {
    await withSpan("git push repaired", { serviceId: service.id, deployId }, () =>
      given.recorder.record({
        service,
        deployId,
        userId,
        traceparent: traceparent(),
        discoveredAtMs: null,
        startedAtMs: null,
      }),
    );
  } catch (error) {
    // One broken repository must not keep the others from their repair; the next period tries again.
    given.log.error("push.repair-failed", {
      serviceId: service.id,
      commit: head,
      error: describeError(error),
    });
  }
}

async function removeInterrupted(given: RepairGiven): Promise<void> {
  for (const { deployId, bundleKey } of await given.pushes.interruptedBundles(INTERRUPTED_AFTER_MS)) {
    await given.objects.delete(bundleKey);
    await given.pushes.forgetBundle(deployId);
    given.log.info("bundle.interrupted-removed", { deployId });
  }
}
