/**
 * Variables. A value passes through this process once, sealed at once to the secrets service's key, and is never
 * stored, logged or audited here.
 */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import type { VarsChange } from "@berth/shared/contracts/secret.ts";
import { ChangeVars, GetSealingKey, ListVars } from "@berth/shared/contracts/secret.ts";
import type { OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { createCurve } from "@berth/shared/kit/curve.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { traceparent } from "@berth/shared/kit/telemetry.ts";
import { audited } from "../../outbound/audited.ts";
import { currentImage, lockService, makeRelease } from "../../outbound/release-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { invalid, notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
  readonly outbox: Pick<OutboxRelay, "wake">;
}

/** Sealing and base64 must fit into one message of the bus. */
const MAX_CHANGE_BYTES = 400 * 1024;

export function varsHandlers(given: Given): Pick<Handlers, "listVars" | "changeVars"> {
  return {
    listVars: ({ object }) => given.bus.request(ListVars, { serviceId: object.serviceId as ServiceId }),
    changeVars: (asked) => changeVars(given, asked),
  };
}

async function changeVars(given: Given, asked: Asked<"changeVars">) {
  const { object, body, actor } = asked;
  const both = body.unset.find((name) => name in body.set);
  if (both !== undefined) throw invalid("unset", `${both} is also in set`);
  const changed = await sendChange(given.bus, asked);
  const names = { set: Object.keys(body.set), unset: body.unset };
  const deployId = await audited(given.db, actor, async (trx) => {
    const locked = await lockService(trx, object.serviceId);
    if (locked === undefined) throw notFound(`service ${object.service}`);
    const service = { ...locked, configVersion: Math.max(locked.configVersion, changed.version) };
    await trx
      .updateTable("services")
      .set({ config_version: service.configVersion })
      .where("id", "=", service.id)
      .execute();
    const act = {
      action: "vars.changed",
      target: service.id,
      orgId: object.orgId,
      details: { ...names, version: changed.version },
    };
    const image = await currentImage(trx, service);
    if (image === undefined) return { result: null, act };
    const id = newId("deploy");
    const description = describeChange(names);
    await makeRelease(trx, service, image, {
      deployId: id,
      cause: "config",
      description,
      traceparent: traceparent(),
      stages: [],
    });
    return { result: id, act };
  });
  given.outbox.wake();
  return { version: changed.version, variables: changed.variables, deployId };
}

async function sendChange(bus: Bus, { object, body, actor, caller }: Asked<"changeVars">) {
  const change: VarsChange = { serviceId: object.serviceId as ServiceId, set: body.set, unset: body.unset };
  if (Object.keys(change.set).length + change.unset.length === 0)
    throw invalid("set", "there is nothing to set or to unset");
  if (Buffer.byteLength(JSON.stringify(change)) > MAX_CHANGE_BYTES) {
    throw new BerthError(
      "payload-too-large",
      `one change of variables may have ${MAX_CHANGE_BYTES / 1024} KiB`,
    );
  }
  const { publicKey } = await bus.request(GetSealingKey, {});
  const curve = createCurve();
  const reply = await bus.request(ChangeVars, {
    orgId: object.orgId as OrgId,
    serviceId: change.serviceId,
    senderKey: curve.publicKey,
    sealed: curve.sealJson(change, publicKey),
    changedBy: caller.email.slice(0, 200),
    requestId: actor.requestId,
  });
  if (reply.outcome === "refused")
    throw new BerthError("invalid-input", `the variables were refused: ${reply.reason}`);
  return reply;
}

function describeChange({ set, unset }: { set: readonly string[]; unset: readonly string[] }): string {
  const parts = [
    set.length > 0 ? `set ${set.join(", ")}` : "",
    unset.length > 0 ? `unset ${unset.join(", ")}` : "",
  ];
  return parts
    .filter((part) => part !== "")
    .join("; ")
    .slice(0, 200);
}
