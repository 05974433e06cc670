/** A push to a service's deploy branch.  git ─SourcePushed─▶ builder */
import { z } from "zod";
import { DeployId, EnvironmentId, OrgId, ServiceId } from "../domain/ids.ts";
import { GitCommit } from "../domain/names.ts";
import { defineEvent } from "./event.ts";

export const SourcePushed = defineEvent({
  name: "SourcePushed",
  subject: "berth.v1.push.{serviceId}.source-pushed",
  stream: "PUSH",
  emittedBy: ["git"],
  consumedBy: ["builder"],
  about: "A commit reached the deploy branch; its source bundle is in the object store.",
  payload: z.strictObject({
    deployId: DeployId,
    orgId: OrgId,
    environmentId: EnvironmentId,
    serviceId: ServiceId,
    commit: GitCommit,
    /** Key in the object store: `bundles/<serviceId>/<deployId>.tar.zst`. */
    bundleKey: z.string().max(200),
    bundleBytes: z.int().min(1),
    pushedAtMs: z.number(),
  }),
  dedupeId: ({ deployId }) => `${deployId}.source-pushed`,
});
