/** Deploys, releases, builds, and what runs where and why. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { DeployCancelRequested } from "@berth/shared/contracts/release.ts";
import type { DeployId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { audited } from "../../outbound/audited.ts";
import type { Deploy } from "../../outbound/deploy-store.ts";
import {
  readDeploy,
  readDeploys,
  readFirstResponse,
  readPlan,
  readTimeline,
  readTraceparent,
} from "../../outbound/deploy-store.ts";
import type { Addresses } from "../../outbound/service-store.ts";
import { readService, serviceUrl } from "../../outbound/service-store.ts";
import { readSleep } from "../../outbound/sleep-store.ts";
import { readTrace } from "../../outbound/span-store.ts";
import {
  readAutoscales,
  readBuild,
  readDecisions,
  readInstances,
  readWaiting,
} from "../../outbound/status-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly addresses: Addresses;
  readonly outbox: Pick<OutboxRelay, "wake">;
}

type DeployHandlers = Pick<
  Handlers,
  "serviceStatus" | "whyService" | "listDeploys" | "showDeploy" | "cancelDeploy" | "showBuild"
>;

export function deployHandlers(given: Given): DeployHandlers {
  const { db, addresses } = given;
  return {
    serviceStatus: async ({ object }) => {
      const [service, instances, deploys, sleep, autoscale] = await Promise.all([
        readService(db, object.serviceId, addresses),
        readInstances(db, object.serviceId),
        readDeploys(db, object.serviceId, 1),
        readSleep(db, object.serviceId),
        readAutoscales(db, object.serviceId),
      ]);
      if (service === undefined) throw notFound(`service ${object.service}`);
      return { service, instances, sleep, autoscale, latestDeploy: deploys[0] ?? null };
    },
    whyService: async ({ object, query }) => ({
      decisions: await readDecisions(db, object.serviceId, query.limit),
      waiting: await readWaiting(db, object.serviceId),
      autoscale: await readAutoscales(db, object.serviceId),
      sleep: await readSleep(db, object.serviceId),
    }),
    listDeploys: async ({ object, query }) => ({
      deploys: await readDeploys(db, object.serviceId, query.limit),
    }),
    showDeploy: (asked) => showDeploy(given, asked),
    cancelDeploy: (asked) => cancelDeploy(given, asked),
    showBuild: async ({ object }) => {
      const build = await readBuild(db, object.buildId);
      if (build === undefined) throw notFound(`build ${object.buildId}`);
      return build;
    },
  };
}

export async function mustReadDeploy(db: Db, deployId: string): Promise<Deploy> {
  const deploy = await readDeploy(db, deployId);
  if (deploy === undefined) throw notFound(`deploy ${deployId}`);
  return deploy;
}

async function showDeploy({ db, addresses }: Given, { object }: Asked<"showDeploy">) {
  const deploy = await mustReadDeploy(db, object.deployId);
  const first = await readFirstResponse(db, deploy.id);
  const traceId = (await readTraceparent(db, deploy.id))?.split("-")[1] ?? null;
  const timeline = await readTimeline(db, deploy, first);
  return {
    deploy,
    plan: await readPlan(db, deploy.id),
    url: serviceUrl(addresses, object.hostnameLabel),
    timeline,
    traceId,
    spans: traceId === null ? [] : await readTrace(db, traceId),
    firstResponse: first === undefined ? null : { status: first.status, atMs: first.endedAtMs },
  };
}

/** A deploy that was cancelled before may be cancelled again; one that ended may not. */
async function cancelDeploy({ db, outbox }: Given, { object, caller, actor }: Asked<"cancelDeploy">) {
  const before = await mustReadDeploy(db, object.deployId);
  if (before.final && before.state !== "cancelled") {
    throw new BerthError("conflict", `the deploy has ended already: ${before.state}`);
  }
  await audited(db, actor, async (trx) => {
    const row = { deploy_id: object.deployId, requested_by: caller.userId };
    await trx
      .insertInto("deploy_cancels")
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    await addToOutbox(trx, DeployCancelRequested, {
      serviceId: object.serviceId as ServiceId,
      deployId: object.deployId as DeployId,
    });
    return {
      result: null,
      act: { action: "deploy.cancelled", target: object.deployId, orgId: object.orgId },
    };
  });
  outbox.wake();
  return { deploy: await mustReadDeploy(db, object.deployId) };
}
