/** A service's policy: show and change. What its hosts must know becomes a new release. */
import { ServiceChanged } from "@berth/shared/contracts/release.ts";
import type { ServiceId } from "@berth/shared/domain/ids.ts";
import type { PolicyChange, ServicePolicy } from "@berth/shared/domain/service-policy.ts";
import { changePolicy, needsNewJobs, policyProblem } from "@berth/shared/domain/service-policy.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { traceparent } from "@berth/shared/kit/telemetry.ts";
import { audited } from "../../outbound/audited.ts";
import { findNear, readPolicy, toShown, writePolicy } from "../../outbound/policy-store.ts";
import { currentImage, lockService, makeRelease } from "../../outbound/release-store.ts";
import type { Db, Trx } from "../../outbound/tables.ts";
import { invalid, notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly outbox: Pick<OutboxRelay, "wake">;
}

const MOST_LABELS = 20;

export function policyHandlers(given: Given): Pick<Handlers, "showServicePolicy" | "changeServicePolicy"> {
  return {
    showServicePolicy: async ({ object }) => {
      const policy = await readPolicy(given.db, object.serviceId);
      if (policy === undefined) throw notFound(`service ${object.service}`);
      return { policy: await toShown(given.db, policy) };
    },
    changeServicePolicy: (asked) => changeServicePolicy(given, asked),
  };
}

async function changeServicePolicy({ db, outbox }: Given, asked: Asked<"changeServicePolicy">) {
  const { object, body, actor } = asked;
  const answer = await audited(db, actor, async (trx) => {
    const service = await lockService(trx, object.serviceId);
    const before = await readPolicy(trx, object.serviceId);
    if (service === undefined || before === undefined) throw notFound(`service ${object.service}`);
    const after = changePolicy(before, await toChange(trx, before, asked));
    const problem = policyProblem(after);
    if (problem !== null) throw invalid(problem.field, problem.text);
    await writePolicy(trx, service.id, after);
    const image = needsNewJobs(before, after) ? await currentImage(trx, service) : undefined;
    const deployId = image === undefined ? null : newId("deploy");
    if (image !== undefined && deployId !== null) {
      const why = { cause: "config" as const, description: `policy: ${Object.keys(body).join(", ")}` };
      await makeRelease(trx, service, image, { deployId, ...why, traceparent: traceparent(), stages: [] });
    }
    await addToOutbox(trx, ServiceChanged, {
      serviceId: object.serviceId as ServiceId,
      revision: newId("decision"),
    });
    const act = { action: "service.policy-changed", target: service.id, orgId: object.orgId, details: body };
    return { result: { policy: await toShown(trx, after), deployId }, act };
  });
  outbox.wake();
  return answer;
}

async function toChange(
  trx: Trx,
  before: ServicePolicy,
  { object, body }: Asked<"changeServicePolicy">,
): Promise<PolicyChange> {
  const { labels: changed, near, ...rest } = body;
  const labels: Record<string, string> = { ...before.labels };
  for (const [name, value] of Object.entries(changed ?? {})) {
    if (value === null) delete labels[name];
    else labels[name] = value;
  }
  if (Object.keys(labels).length > MOST_LABELS) throw invalid("labels", `at most ${MOST_LABELS} labels`);
  if (near === undefined) return { ...rest, labels };
  if (near === object.service) throw invalid("near", "must be another service");
  const nearServiceId =
    near === null ? null : ((await findNear(trx, object.environmentId, near)) as ServiceId);
  return { ...rest, labels, nearServiceId };
}
