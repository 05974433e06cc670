/**
 * For which domains a certificate is to be ordered now.
 *
 * Pure. A domain that a valid certificate of its customer covers needs none; one that was ordered is ordered again after two
 * thirds of its life, a little earlier for some than for others; after a failure ever later. Wildcards cannot be
 * proved over HTTP. An org has a share of what the authority takes from the whole pod, and no more.
 */
import { createHash } from "node:crypto";
import type { EnvironmentId, OrgId, ServiceId } from "@berth/shared/domain/ids.ts";
import { type CertificateRow, chooseCertificate } from "./choose-certificate.ts";

export interface OrderableDomain {
  readonly name: string;
  readonly environmentId: EnvironmentId;
  readonly serviceId: ServiceId;
  readonly orgId: OrgId;
}

export interface OrderRow {
  readonly name: string;
  readonly nextTryAtMs: number;
  readonly claimedUntilMs: number;
}

const RENEW_AFTER = 2 / 3;
/** Of the life: what was made on one day is not renewed in one minute. */
const SPREAD = 1 / 20;

export function planOrders(given: {
  readonly domains: readonly OrderableDomain[];
  /** Of customers and of earlier orders; not the pod's own. */
  readonly certificates: readonly CertificateRow[];
  readonly orders: readonly OrderRow[];
  readonly nowMs: number;
  readonly atOnce: number;
  /** Orders that each org began within the last hour. */
  readonly lastHour: ReadonlyMap<OrgId, number>;
  readonly mostPerOrgPerHour: number;
}): OrderableDomain[] {
  const { certificates, nowMs } = given;
  const begun = new Map(given.lastHour);
  const orders = new Map(given.orders.map((order) => [order.name, order]));
  const running = given.orders.filter(({ claimedUntilMs }) => claimedUntilMs > nowMs).length;
  const due = given.domains.filter((domain) => {
    if (domain.name.startsWith("*.")) return false;
    const order = orders.get(domain.name);
    if (order !== undefined && (order.nextTryAtMs > nowMs || order.claimedUntilMs > nowMs)) return false;
    const served = chooseCertificate(domain.name, domain, certificates, nowMs);
    if (served === undefined || nowMs >= served.notAfterMs || nowMs < served.notBeforeMs) return true;
    return served.isOrdered && nowMs >= renewAtMs(served, domain.name);
  });
  const allowed = due.filter(({ orgId }) => {
    const count = begun.get(orgId) ?? 0;
    begun.set(orgId, count + 1);
    return count < given.mostPerOrgPerHour;
  });
  return allowed.slice(0, Math.max(0, given.atOnce - running));
}

/** @returns when a certificate is due, in ms since 1970 */
export function renewAtMs({ notBeforeMs, notAfterMs }: CertificateRow, name: string): number {
  const lifeMs = notAfterMs - notBeforeMs;
  const share = createHash("sha256").update(name).digest().readUInt32BE(0) / 2 ** 32;
  return notBeforeMs + lifeMs * (RENEW_AFTER - SPREAD * share);
}

const MINUTE_MS = 60_000;
const LONGEST_MS = 24 * 60 * MINUTE_MS;

/** @param failures in a row, at least 1 @param random in [0, 1) */
export function retryAfterMs(failures: number, random: number): number {
  const ms = Math.min(MINUTE_MS * 2 ** Math.min(failures - 1, 20), LONGEST_MS);
  return ms * (1 + random / 4);
}
