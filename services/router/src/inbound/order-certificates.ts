/**
 * Orders certificates for proved domains that have none, and renews them. Level-triggered: what is due is worked out of the
 * tables each time; an order that a killed router left is taken up when its claim ends, from the start.
 */
import { StoreCertificate } from "@berth/shared/contracts/certificate.ts";
import type { AcmeChallenge } from "@berth/shared/contracts/route.ts";
import { GetSealingKey } from "@berth/shared/contracts/secret.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import { createCurve } from "@berth/shared/kit/curve.ts";
import { newId } from "@berth/shared/kit/ids.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import type { Kysely } from "kysely";
import { type OrderableDomain, planOrders, retryAfterMs } from "../core/plan-orders.ts";
import type { AcmeAuthority, Issued } from "../outbound/acme-authority.ts";
import {
  claimOrder,
  countStarts,
  isAnswered,
  readOrderable,
  readOrders,
  removeOrphans,
  storeFailure,
  storeOrdered,
  writeChallenge,
} from "../outbound/order-store.ts";
import { readCertificates } from "../outbound/read-record.ts";
import type { RouterTables } from "../outbound/tables.ts";

interface Given {
  readonly db: Kysely<RouterTables>;
  readonly bus: Bus;
  readonly log: Log;
  readonly authority: AcmeAuthority;
  readonly atOnce: number;
  readonly mostPerOrgPerHour: number;
  /** Called when what edges must answer or serve changed. */
  readonly changed: () => void;
}

/** Longer than an order takes at the worst. */
const CLAIM_MS = 5 * 60_000;
const ANSWERED_WAIT_MS = 60_000;
const LOOK_MS = 100;

/** Starts what is due and does not wait for it: one slow authority or domain holds up no other. */
export async function orderCertificates(given: Given): Promise<void> {
  const { db, bus, atOnce, mostPerOrgPerHour } = given;
  if (!bus.connected) return;
  await removeOrphans(db);
  const due = planOrders({
    domains: await readOrderable(db),
    certificates: await readCertificates(db),
    orders: await readOrders(db),
    lastHour: await countStarts(db),
    ...{ nowMs: Date.now(), atOnce, mostPerOrgPerHour },
  });
  for (const domain of due) if (await claimOrder(db, domain, CLAIM_MS)) void order(given, domain);
}

/** Never throws: what failed is tried again later. */
async function order(given: Given, domain: OrderableDomain): Promise<void> {
  const { db, log, authority } = given;
  const { name, serviceId } = domain;
  try {
    const issued = await authority.issue(name, (challenge) => publish(given, domain, challenge));
    await keep(given, domain, issued);
    log.info("certificate.ordered", { name, serviceId });
  } catch (error) {
    // An authority's words and ours; a key is in neither.
    const reason = error instanceof Error ? error.message : String(error);
    const failures = await storeFailure(db, name, reason, (count) =>
      retryAfterMs(count, Math.random()),
    ).catch(() => null);
    log.warn("certificate.order-failed", { name, serviceId, failures, reason: reason.slice(0, 500) });
  }
  given.changed();
}

/** @throws Error when not every live edge answers in time */
async function publish(given: Given, domain: OrderableDomain, challenge: AcmeChallenge): Promise<void> {
  await writeChallenge(given.db, domain.name, challenge);
  given.changed();
  const deadlineMs = performance.now() + ANSWERED_WAIT_MS;
  while (!(await isAnswered(given.db, domain, challenge.token))) {
    if (performance.now() > deadlineMs)
      throw new Error(`not every edge answered the challenge within ${ANSWERED_WAIT_MS / 1000} s`);
    await sleep(LOOK_MS);
  }
}

async function keep({ db, bus }: Given, domain: OrderableDomain, issued: Issued): Promise<void> {
  const certificateId = newId("certificate");
  const { publicKey } = await bus.request(GetSealingKey, {});
  const curve = createCurve();
  const reply = await bus.request(StoreCertificate, {
    ...{ owner: domain.orgId, certificateId, senderKey: curve.publicKey },
    sealed: curve.sealJson({ chain: issued.chain, key: issued.key }, publicKey),
  });
  if (reply.outcome === "refused") throw new Error(`what the authority sent was refused: ${reply.reason}`);
  await storeOrdered(db, domain, certificateId, reply.certificate);
}
