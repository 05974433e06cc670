/** Links between environments: said by each side for itself. The hosts follow what stands in the tables. */
import { linkHostname } from "@berth/shared/domain/link-name.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { audited } from "../../outbound/audited.ts";
import {
  type Accepted,
  consumerOf,
  type Offer,
  readLinks,
  removeAccept,
  removeOffer,
  writeAccept,
  writeOffer,
} from "../../outbound/link-store.ts";
import { untilHeld } from "../../outbound/network-held.ts";
import { findEnvironment, findOrg, findService } from "../../outbound/reach-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { invalid, notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";

type LinkRoutes = "listLinks" | "offerLink" | "withdrawLink" | "acceptLink" | "leaveLink";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
}

export function linkHandlers({ db, bus }: Given): Pick<Handlers, LinkRoutes> {
  /** The hosts of the side that uses it; nobody's where the other side has not agreed, so nothing is told of it. */
  const held = async (consumerId: string | null) =>
    consumerId === null ? {} : { isHeld: await untilHeld(bus, consumerId) };
  return {
    listLinks: ({ object }) => readLinks(db, object.environmentId),
    offerLink: async (asked) => {
      const { object, body, actor, caller } = asked;
      const serviceId = await ownService(db, asked);
      if (body.to.org === object.org && body.to.environment === object.environment)
        throw invalid("to", "is this environment, whose services reach each other anyway");
      if (await isUnknownOwn(db, caller.userId, body.to))
        throw notFound(`environment ${body.to.org}/${body.to.environment}`);
      const consumerId = await audited(db, actor, async (trx) => {
        await writeOffer(trx, serviceId, body);
        const result = await consumerOf(trx, serviceId, body);
        return { result, act: offerAct("link.offered", serviceId, object.orgId, body) };
      });
      return { state: consumerId === null ? "waiting" : "standing", ...(await held(consumerId)) };
    },
    withdrawLink: async (asked) => {
      const { object, body, actor } = asked;
      const serviceId = await ownService(db, asked);
      const consumerId = await audited(db, actor, async (trx) => {
        const result = await consumerOf(trx, serviceId, body);
        if (!(await removeOffer(trx, serviceId, body))) throw notFound(`offer of ${offerText(body)}`);
        return { result, act: offerAct("link.withdrawn", serviceId, object.orgId, body) };
      });
      return held(consumerId);
    },
    acceptLink: async ({ object, body, actor, caller }) => {
      if (body.org === object.org && body.environment === object.environment)
        throw invalid("environment", "is this one, whose services reach each other anyway");
      if (await isUnknownOwn(db, caller.userId, body)) throw notFound(`service ${acceptText(body)}`);
      const state = await audited(db, actor, async (trx) => {
        const result = await writeAccept(trx, object.environmentId, body);
        return { result, act: acceptAct("link.accepted", object, body) };
      });
      const consumerId = state === "standing" ? object.environmentId : null;
      return { state, hostname: linkHostname(body), ...(await held(consumerId)) };
    },
    leaveLink: async ({ object, body, actor }) => {
      await audited(db, actor, async (trx) => {
        if (!(await removeAccept(trx, object.environmentId, body)))
          throw notFound(`accepted link ${acceptText(body)}`);
        return { result: null, act: acceptAct("link.left", object, body) };
      });
      return held(object.environmentId);
    },
  };
}

async function ownService(
  db: Db,
  { object, body, caller }: Asked<"offerLink"> | Asked<"withdrawLink">,
): Promise<string> {
  const { org, environment } = object;
  const found = await findService(db, caller.userId, { org, environment, service: body.service });
  if (found === undefined) throw notFound(`service ${body.service} in ${org}/${environment}`);
  return found.serviceId;
}

/** A typing error is told only where the caller sees what there is: in the own orgs. */
async function isUnknownOwn(
  db: Db,
  userId: string,
  named: { readonly org: string; readonly environment: string; readonly service?: string },
): Promise<boolean> {
  if ((await findOrg(db, userId, named.org)) === undefined) return false;
  const { org, environment, service } = named;
  const found =
    service === undefined
      ? await findEnvironment(db, userId, { org, environment })
      : await findService(db, userId, { org, environment, service });
  return found === undefined;
}

function offerAct(action: string, serviceId: string, orgId: string, body: Offer) {
  return { action, target: serviceId, orgId, details: { link: offerText(body) } };
}

function acceptAct(
  action: string,
  object: { readonly environmentId: string; readonly orgId: string },
  body: Accepted,
) {
  return { action, target: object.environmentId, orgId: object.orgId, details: { link: acceptText(body) } };
}

function offerText({ service, port, to }: Offer): string {
  return `${service}:${port} to ${to.org}/${to.environment}`;
}

function acceptText({ org, environment, service, port }: Accepted): string {
  return `${org}/${environment}/${service}:${port}`;
}
