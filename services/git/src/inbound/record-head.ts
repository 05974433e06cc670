/**
 * Turns the head of a deploy branch into a deploy: bundle, then row and fact in one transaction.
 *
 * One path for a push and for the repair. It takes no commit: it reads the head and the newest row, and makes what
 * is missing, so it may run at any time and any number of times. One run at a time per service.
 */
import type { Stage } from "@berth/shared/domain/deploy-state.ts";
import type { DeployId, UserId } from "@berth/shared/domain/ids.ts";
import type { Clock } from "@berth/shared/kit/clock.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { ObjectStore } from "@berth/shared/kit/object-store.ts";
import { withSpan } from "@berth/shared/kit/telemetry.ts";
import { putBundle } from "../outbound/bundle.ts";
import type { GitService } from "../outbound/directory.ts";
import type { GitCage } from "../outbound/git-process.ts";
import type { PushStore } from "../outbound/push-store.ts";
import type { Repositories } from "../outbound/repositories.ts";

export interface RecordGiven {
  readonly cage: GitCage;
  readonly repositories: Repositories;
  readonly pushes: PushStore;
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Tells the outbox's relay of a new fact. */
  readonly wakeRelay: () => void;
}

export interface RecordRequest {
  readonly service: GitService;
  /** The id of the deploy, if there is one to make. */
  readonly deployId: DeployId;
  readonly userId: UserId | null;
  readonly traceparent: string | null;
  /** When its client asked for the refs before it; the stage `discover` runs from here to its beginning. */
  readonly discoveredAtMs: number | null;
  /** When the push began; the stage `receive` runs from here to now. Null for a repair. */
  readonly startedAtMs: number | null;
}

export type Recorded =
  | {
      readonly kind: "recorded";
      readonly deployId: DeployId;
      readonly commit: string;
      readonly bundleBytes: number;
    }
  /** The head has its deploy already. */
  | { readonly kind: "known"; readonly deployId: DeployId; readonly commit: string }
  | { readonly kind: "no-head" };

export class HeadRecorder {
  readonly #given: RecordGiven;
  /** End of the last run per service. */
  readonly #runs = new Map<string, Promise<unknown>>();

  constructor(given: RecordGiven) {
    this.#given = given;
  }

  record(request: RecordRequest): Promise<Recorded> {
    const { id } = request.service;
    const before = this.#runs.get(id) ?? Promise.resolve();
    const run = before.then(() => this.#record(request));
    const settled = run.then(
      () => {},
      () => {}, // the caller of `run` handles it
    );
    this.#runs.set(id, settled);
    void settled.then(() => {
      if (this.#runs.get(id) === settled) this.#runs.delete(id);
    });
    return run;
  }

  async #record(request: RecordRequest): Promise<Recorded> {
    const { repositories, pushes, clock } = this.#given;
    const { service, deployId } = request;
    const receivedAtMs = clock.nowMs();
    const commit = await repositories.head(service.id, service.deployBranch);
    if (commit === null) return { kind: "no-head" };
    const latest = await pushes.latest(service.id);
    if (latest !== null && latest.commit === commit)
      return { kind: "known", deployId: latest.deployId, commit };

    const bundleKey = `bundles/${service.id}/${deployId}.tar.zst`;
    const bundleBytes = await withSpan("bundle", { deployId }, () =>
      this.#makeBundle(request, commit, bundleKey),
    );
    crashPoint("git.after-bundle");
    const stages = stagesOf(request, receivedAtMs, clock.nowMs());
    const { orgId, environmentId, id: serviceId } = service;
    const { userId, traceparent } = request;
    const ref = `refs/heads/${service.deployBranch}`;
    const push = {
      deployId,
      orgId,
      environmentId,
      serviceId,
      userId,
      commit,
      ref,
      bundleKey,
      bundleBytes,
      stages,
      traceparent,
    };
    const stored = await pushes.insert(push, receivedAtMs);
    crashPoint("git.after-row");
    this.#given.wakeRelay();
    if (stored.deployId !== deployId) return { kind: "known", deployId: stored.deployId, commit };
    this.#given.log.info("push.recorded", {
      deployId,
      serviceId,
      orgId,
      environmentId,
      commit,
      bundleBytes,
      repaired: request.startedAtMs === null,
    });
    return { kind: "recorded", deployId, commit, bundleBytes };
  }

  async #makeBundle(request: RecordRequest, commit: string, key: string): Promise<number> {
    const { cage, repositories, pushes, objects } = this.#given;
    await pushes.beginBundle(request.deployId, key);
    return putBundle({ cage, store: objects, gitDir: repositories.path(request.service.id), commit, key });
  }
}

function stagesOf(request: RecordRequest, receivedAtMs: number, bundledAtMs: number): Stage[] {
  const bundle = { name: "bundle", startedAtMs: receivedAtMs, endedAtMs: bundledAtMs };
  if (request.startedAtMs === null) return [bundle];
  const { discoveredAtMs, startedAtMs } = request;
  return [
    ...(discoveredAtMs === null
      ? []
      : [{ name: "discover", startedAtMs: discoveredAtMs, endedAtMs: startedAtMs }]),
    { name: "receive", startedAtMs, endedAtMs: receivedAtMs },
    bundle,
  ];
}
