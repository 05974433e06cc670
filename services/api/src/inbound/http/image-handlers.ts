/** Ready images: an order to deploy one, and a token for pushing one to the service's own repository. */
import { readFileSync } from "node:fs";
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { ImageRequested } from "@berth/shared/contracts/release.ts";
import { MintRegistryToken } from "@berth/shared/contracts/secret.ts";
import type { OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import { parseImageReference } from "@berth/shared/domain/image-reference.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { OutboxRelay } from "@berth/shared/kit/outbox.ts";
import { addToOutbox } from "@berth/shared/kit/outbox.ts";
import { traceparent } from "@berth/shared/kit/telemetry.ts";
import { audited } from "../../outbound/audited.ts";
import { lockService } from "../../outbound/release-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { invalid, notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
  readonly outbox: Pick<OutboxRelay, "wake">;
  /** `host:port` of the pod's registry. */
  readonly registry: string;
  /** The pod's authority, under which the registry's certificate is. */
  readonly caFile: string;
}

export function imageHandlers(given: Given): Pick<Handlers, "deployImage" | "createRegistryToken"> {
  return {
    deployImage: (asked) => deployImage(given, asked),
    createRegistryToken: (asked) => createRegistryToken(given, asked),
  };
}

/** The builder takes the image and pins its digest; what is wrong with it ends the deploy with the reason. */
async function deployImage({ db, outbox, registry }: Given, { object, body, actor }: Asked<"deployImage">) {
  const own = `${object.orgId}/${object.serviceId}`;
  const image = body.image.startsWith(":") ? `${registry}/${own}${body.image}` : body.image;
  const named = parseImageReference(image);
  if (named?.registry === registry && named.repository !== own)
    throw invalid("image", `in this pod's registry ${object.service} has ${own} and nothing else`);
  const traced = traceparent();
  const reply = await audited(db, actor, async (trx) => {
    const service = await lockService(trx, object.serviceId);
    if (service === undefined) throw notFound(`service ${object.service}`);
    const deployId = newId("deploy");
    await trx
      .insertInto("image_orders")
      .values({
        deploy_id: deployId,
        org_id: object.orgId,
        environment_id: object.environmentId,
        service_id: service.id,
        image,
        requested_by: actor.actor,
        traceparent: traced,
      })
      .execute();
    await addToOutbox(trx, ImageRequested, { serviceId: service.id, deployId }, traced);
    const act = {
      action: "image.deployed",
      target: service.id,
      orgId: object.orgId,
      details: { image, deployId },
    };
    return { result: { deployId, image }, act };
  });
  outbox.wake();
  return reply;
}

async function createRegistryToken(given: Given, { object, actor }: Asked<"createRegistryToken">) {
  const { db, bus, registry, caFile } = given;
  const minted = await bus.request(MintRegistryToken, {
    orgId: object.orgId as OrgId,
    serviceId: object.serviceId as ServiceId,
  });
  if (minted.outcome === "refused") throw new BerthError("conflict", `no token: ${minted.reason}`);
  const { repository, token, expiresAtMs } = minted;
  const result = {
    ...{ registry, repository, token, expiresAtMs },
    caCertificatePem: readFileSync(caFile, "utf8"),
  };
  return audited(db, actor, async () => {
    const details = { repository, expiresAtMs };
    const act = {
      action: "registry.token-minted",
      target: object.serviceId,
      orgId: object.orgId,
      details,
    };
    return { result, act };
  });
}
