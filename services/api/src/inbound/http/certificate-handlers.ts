/**
 * Certificates. A key passes through this process once, sealed at once to the secrets service's key, which also checks
 * it; it is never stored, logged or audited here.
 */
import { type CertificatePair, StoreCertificate } from "@berth/shared/contracts/certificate.ts";
import { BerthError } from "@berth/shared/contracts/errors.ts";
import { GetSealingKey } from "@berth/shared/contracts/secret.ts";
import { type CertificateId, OrgId } from "@berth/shared/domain/ids.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { createCurve } from "@berth/shared/kit/curve.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import { audited } from "../../outbound/audited.ts";
import {
  addCertificateRow,
  countCertificates,
  readCertificate,
  readCertificates,
  removeCertificateRow,
} from "../../outbound/certificate-store.ts";
import { findService } from "../../outbound/reach-store.ts";
import type { Db } from "../../outbound/tables.ts";
import { notFound } from "./errors.ts";
import type { Asked, Handlers } from "./handler.ts";
import type { Reply } from "./routes.ts";

interface Given {
  readonly db: Db;
  readonly bus: Bus;
}

type CertificateHandlers = Pick<
  Handlers,
  "listCertificates" | "addCertificate" | "showCertificate" | "removeCertificate"
>;

const MOST_PER_ENVIRONMENT = 100;

export function certificateHandlers(given: Given): CertificateHandlers {
  const { db } = given;
  return {
    listCertificates: async ({ object }) => ({
      certificates: await readCertificates(db, object.environmentId),
    }),
    addCertificate: (asked) => add(given, asked),
    showCertificate: ({ object, params }) => find(db, object.environmentId, params.certificate),
    removeCertificate: async ({ object, params, actor }) =>
      audited(db, actor, async (trx) => {
        if (!(await removeCertificateRow(trx, object.environmentId, params.certificate)))
          throw notFound(`certificate ${params.certificate} in ${object.org}/${object.environment}`);
        const { environmentId: target, orgId } = object;
        const act = { action: "certificate.removed", target, orgId, details: { id: params.certificate } };
        return { result: { removed: true as const }, act };
      }),
  };
}

async function find(db: Db, environmentId: string, id: CertificateId) {
  const certificate = await readCertificate(db, environmentId, id);
  if (certificate === undefined) throw notFound(`certificate ${id} in this environment`);
  return certificate;
}

async function add(given: Given, asked: Asked<"addCertificate">): Promise<Reply<"addCertificate">> {
  const { db } = given;
  const { environmentId, orgId } = asked.object;
  const serviceId = await serviceOf(db, asked);
  if ((await countCertificates(db, environmentId)) >= MOST_PER_ENVIRONMENT)
    throw new BerthError(
      "limit-reached",
      `an environment may have ${MOST_PER_ENVIRONMENT} certificates: remove those that serve nothing`,
    );
  const id = newId("certificate");
  const { certificate: info, notes } = await store(given.bus, OrgId.parse(orgId), id, asked.body);
  await audited(db, asked.actor, async (trx) => {
    await addCertificateRow(trx, { id, orgId, environmentId, serviceId, info });
    const details = { id, names: info.names, fingerprint: info.fingerprint };
    const act = { action: "certificate.added", target: serviceId ?? environmentId, orgId, details };
    return { result: null, act };
  });
  return { certificate: await find(db, environmentId, id), notes };
}

async function serviceOf(db: Db, { object, body, caller }: Asked<"addCertificate">): Promise<string | null> {
  if (body.service === null) return null;
  const { org, environment } = object;
  const found = await findService(db, caller.userId, { org, environment, service: body.service });
  if (found === undefined) throw notFound(`service ${body.service} in ${org}/${environment}`);
  return found.serviceId;
}

async function store(bus: Bus, owner: OrgId, certificateId: CertificateId, { chain, key }: CertificatePair) {
  const { publicKey } = await bus.request(GetSealingKey, {});
  const curve = createCurve();
  const sealed = curve.sealJson({ chain, key }, publicKey);
  const reply = await bus.request(StoreCertificate, {
    ...{ owner, certificateId, sealed },
    senderKey: curve.publicKey,
  });
  if (reply.outcome === "refused") throw new BerthError("certificate-refused", reply.reason);
  return reply;
}
