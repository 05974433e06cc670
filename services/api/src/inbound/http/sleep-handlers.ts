/** Sleep of a service: an order is stored, the scheduler carries it out. */
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { ServiceChanged } from "@berth/shared/contracts/release.ts";
import type { ServiceId } from "@berth/shared/domain/ids.ts";
import type { SleepLevel } from "@berth/shared/domain/sleep.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { audited } from "../../outbound/audited.ts";
import { readPolicy } from "../../outbound/policy-store.ts";
import { lockService } from "../../outbound/release-store.ts";
import { findServing } from "../../outbound/restart-store.ts";
import { orderSleep, readSleep } from "../../outbound/sleep-store.ts";
import type { Db, Trx } from "../../outbound/tables.ts";
import { notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly outbox: Pick<OutboxRelay, "wake">;
}

type Order = { readonly wanted: "sleep" | "wake"; readonly level: SleepLevel };

export function sleepHandlers(given: Given): Pick<Handlers, "sleepService" | "wakeService"> {
  return {
    sleepService: (asked) => order(given, asked, { wanted: "sleep", level: asked.body.level }),
    wakeService: (asked) => order(given, asked, { wanted: "wake", level: "stopped" }),
  };
}

async function order(
  { db, outbox }: Given,
  { object, actor }: Asked<"sleepService"> | Asked<"wakeService">,
  { wanted, level }: Order,
) {
  const reply = await audited(db, actor, async (trx) => {
    const service = await lockService(trx, object.serviceId);
    if (service === undefined) throw notFound(`service ${object.service}`);
    if (wanted === "sleep") await refuseSleep(trx, object);
    await orderSleep(trx, service.id, wanted, level);
    await addToOutbox(trx, ServiceChanged, {
      serviceId: object.serviceId as ServiceId,
      revision: newId("decision"),
    });
    const act = {
      action: wanted === "sleep" ? "service.sleep-ordered" : "service.wake-ordered",
      target: service.id,
      orgId: object.orgId,
      details: wanted === "sleep" ? { level } : {},
    };
    return { result: { sleep: await readSleep(trx, service.id) }, act };
  });
  outbox.wake();
  return reply;
}

async function refuseSleep(trx: Trx, { serviceId, service }: Asked<"sleepService">["object"]): Promise<void> {
  if ((await findServing(trx, serviceId)) === undefined)
    throw new BerthError("conflict", `${service} serves no release yet: nothing of it runs that could sleep`);
  if ((await readPolicy(trx, serviceId))?.singleWriter === true)
    throw new BerthError(
      "conflict",
      `${service} is a single writer, which never sleeps: berth services policy ${service} --single-writer off`,
    );
}
