/** Turns every successful build into a release. The event of the build is a wake-up; the builder's table steers. */
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { withRemoteParent, withSpan } from "@berth/shared/kit/telemetry.ts";
import { findBuildsWithoutRelease, releaseBuild } from "../outbound/build-store.ts";
import type { Db } from "../outbound/tables.ts";

export async function reconcileReleases(given: {
  readonly db: Db;
  readonly outbox: Pick<OutboxRelay, "wake">;
  readonly log: Log;
}): Promise<void> {
  for (const build of await findBuildsWithoutRelease(given.db)) {
    const attributes = { "berth.service_id": build.serviceId, "berth.deploy_id": build.deployId };
    const outcome = await withRemoteParent(build.traceparent, () =>
      withSpan("release build", attributes, () => releaseBuild(given.db, build)),
    );
    crashPoint("api.release-committed");
    given.outbox.wake();
    given.log.info("release.decided", {
      buildId: build.buildId,
      deployId: build.deployId,
      serviceId: build.serviceId,
      ...outcome,
    });
  }
}
