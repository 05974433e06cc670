/** Releases: look at them, note something, give one up, go back to one, deploy one again, restart what runs. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { ServiceChanged } from "@berth/shared/contracts/release.ts";
import { RestoreVars } from "@berth/shared/contracts/secret.ts";
import type { OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { traceparent } from "@berth/shared/kit/telemetry.ts";
import { restoreSizes } from "../../core/plan-processes.ts";
import { audited } from "../../outbound/audited.ts";
import type { RollbackTarget } from "../../outbound/kept-releases.ts";
import { findLastGood, findTarget, readRelease, readReleases } from "../../outbound/kept-releases.ts";
import {
  currentImage,
  lockService,
  makeRelease,
  readSettings,
  writeSettings,
} from "../../outbound/release-store.ts";
import { askRestart, findServing } from "../../outbound/restart-store.ts";
import type { Db, Trx } from "../../outbound/tables.ts";
import { notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
  readonly outbox: Pick<OutboxRelay, "wake">;
}

type ReleaseHandlers = Pick<
  Handlers,
  | "listReleases"
  | "showRelease"
  | "changeRelease"
  | "removeRelease"
  | "rollbackService"
  | "redeployService"
  | "restartService"
>;

export function releaseHandlers(given: Given): ReleaseHandlers {
  const { db } = given;
  return {
    listReleases: async ({ object, query }) => ({
      releases: await readReleases(db, object.serviceId, query.limit),
    }),
    showRelease: ({ object, params }) => mustReadRelease(db, object, params.version),
    changeRelease: (asked) => changeRelease(given, asked),
    removeRelease: (asked) => removeRelease(given, asked),
    rollbackService: (asked) => rollback(given, asked),
    redeployService: (asked) => redeploy(given, asked),
    restartService: (asked) => restart(given, asked),
  };
}

type Named = Asked<"showRelease">["object"];

async function mustReadRelease(db: Db | Trx, { serviceId, service }: Named, version: number) {
  const release = await readRelease(db, serviceId, version);
  if (release === undefined) throw noRelease(service, version);
  return release;
}

function noRelease(service: string, version: number): BerthError {
  return notFound(`release v${version} of ${service}; the kept ones: berth releases list ${service}`);
}

async function changeRelease({ db }: Given, { object, params, body, actor }: Asked<"changeRelease">) {
  return audited(db, actor, async (trx) => {
    const { id } = await mustReadRelease(trx, object, params.version);
    await trx.updateTable("releases").set({ notes: body.notes }).where("id", "=", id).execute();
    const act = {
      action: "release.noted",
      target: id,
      orgId: object.orgId,
      details: { version: params.version },
    };
    return { result: await mustReadRelease(trx, object, params.version), act };
  });
}

async function removeRelease({ db }: Given, { object, params, actor }: Asked<"removeRelease">) {
  const { version } = params;
  return audited(db, actor, async (trx) => {
    const service = await lockService(trx, object.serviceId);
    if (service === undefined) throw notFound(`service ${object.service}`);
    const release = await mustReadRelease(trx, object, version);
    if (release.serving) throw new BerthError("conflict", `v${version} of ${object.service} is serving`);
    if (release.current)
      throw new BerthError("conflict", `v${version} is the current release of ${object.service}`);
    await trx.updateTable("releases").set({ removed_at: new Date() }).where("id", "=", release.id).execute();
    const act = { action: "release.removed", target: release.id, orgId: object.orgId, details: { version } };
    return { result: { removed: true as const }, act };
  });
}

/**
 * A release is an image, variables and sizes, so a rollback brings back all three, as a new release whose deploy is
 * gated like any other. Counts are not part of a release and stay.
 */
async function rollback(given: Given, asked: Asked<"rollbackService">) {
  const { object, body, actor } = asked;
  const target = await findRollbackTarget(given.db, object, body.version);
  const restored = body.variables === "restore" ? await restoreVariables(given.bus, asked, target) : null;
  const reply = await audited(given.db, actor, async (trx) => {
    const service = await lockService(trx, object.serviceId);
    if (service === undefined) throw notFound(`service ${object.service}`);
    if ((await findTarget(trx, service.id, target.version)) === undefined)
      throw noRelease(object.service, target.version);
    const from = (await currentVersion(trx, service.id)) ?? 0;
    const configVersion = Math.max(service.configVersion, restored ?? 0);
    await trx
      .updateTable("services")
      .set({ config_version: configVersion })
      .where("id", "=", service.id)
      .execute();
    await writeSettings(trx, service.id, restoreSizes(await readSettings(trx, service.id), target.settings));
    const deployId = newId("deploy");
    const { version } = await makeRelease(trx, { ...service, configVersion }, target, {
      deployId,
      cause: "rollback",
      description: `rollback to v${target.version}${restored === null ? ", with today's variables" : ""}`,
      traceparent: traceparent(),
      stages: [],
    });
    const details = { from, to: target.version, version, variables: body.variables };
    const act = { action: "service.rolled-back", target: service.id, orgId: object.orgId, details };
    return { result: { deployId, version, from, to: target.version }, act };
  });
  given.outbox.wake();
  return reply;
}

async function findRollbackTarget(
  db: Db,
  { serviceId, service }: Named,
  wanted: number | undefined,
): Promise<RollbackTarget> {
  const current = await currentVersion(db, serviceId);
  if (current === undefined) throw new BerthError("conflict", `${service} has no release yet`);
  if (wanted === current)
    throw new BerthError(
      "conflict",
      `v${wanted} is the current release; berth redeploy ${service} deploys it again`,
    );
  if (wanted !== undefined) {
    const target = await findTarget(db, serviceId, wanted);
    if (target === undefined) throw noRelease(service, wanted);
    return target;
  }
  const target = await findLastGood(db, serviceId, current);
  if (target === undefined)
    throw new BerthError(
      "conflict",
      `${service} has no kept release before v${current} whose deploy succeeded`,
    );
  return target;
}

async function currentVersion(db: Db | Trx, serviceId: string): Promise<number | undefined> {
  const row = await db
    .selectFrom("services")
    .innerJoin("releases", "releases.id", "services.current_release_id")
    .select("releases.version")
    .where("services.id", "=", serviceId)
    .executeTakeFirst();
  return row?.version;
}

/** @returns the number under which the release's variables are the newest again */
async function restoreVariables(
  bus: Bus,
  { object, actor, caller }: Asked<"rollbackService">,
  target: RollbackTarget,
): Promise<number> {
  const reply = await bus.request(RestoreVars, {
    orgId: object.orgId as OrgId,
    serviceId: object.serviceId as ServiceId,
    version: target.configVersion,
    changedBy: caller.email.slice(0, 200),
    requestId: actor.requestId,
  });
  if (reply.outcome === "refused")
    throw new BerthError(
      "conflict",
      `the variables of v${target.version} cannot be brought back: ${reply.reason}`,
    );
  return reply.version;
}

async function redeploy({ db, outbox }: Given, { object, actor }: Asked<"redeployService">) {
  const reply = await audited(db, actor, async (trx) => {
    const service = await lockService(trx, object.serviceId);
    if (service === undefined) throw notFound(`service ${object.service}`);
    const image = await currentImage(trx, service);
    if (image === undefined) throw new BerthError("conflict", `${object.service} has no release yet`);
    const from = await currentVersion(trx, service.id);
    const deployId = newId("deploy");
    const why = { cause: "redeploy" as const, description: `redeploy of v${from}` };
    const made = await makeRelease(trx, service, image, {
      deployId,
      ...why,
      traceparent: traceparent(),
      stages: [],
    });
    const act = { action: "service.redeployed", target: service.id, orgId: object.orgId, details: { from } };
    return { result: { deployId, version: made.version }, act };
  });
  outbox.wake();
  return reply;
}

async function restart({ db, outbox }: Given, { object, body, actor }: Asked<"restartService">) {
  const reply = await audited(db, actor, async (trx) => {
    const service = await lockService(trx, object.serviceId);
    if (service === undefined) throw notFound(`service ${object.service}`);
    const serving = await findServing(trx, service.id);
    if (serving === undefined) throw new BerthError("conflict", `${object.service} serves no release yet`);
    if (body.process !== undefined && !(body.process in serving.processes)) {
      const known = Object.keys(serving.processes).join(", ");
      throw notFound(`process ${body.process} of v${serving.release}; it has: ${known}`);
    }
    const processes = body.process === undefined ? Object.keys(serving.processes) : [body.process];
    const instances = await askRestart(trx, service.id, serving.releaseId, processes);
    const change = { serviceId: service.id, revision: newId("decision") };
    await addToOutbox(trx, ServiceChanged, change);
    const act = {
      action: "service.restarted",
      target: service.id,
      orgId: object.orgId,
      details: { processes },
    };
    return { result: { release: serving.release, instances }, act };
  });
  outbox.wake();
  return reply;
}
