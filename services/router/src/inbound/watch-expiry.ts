/** Tells of certificates that are served and end soon: a warning a day for each, and their number as a metric. */
import type { Log } from "@berth/shared/kit/log.ts";
import { observe } from "@berth/shared/kit/metrics.ts";
import type { Kysely } from "kysely";
import { findExpiring } from "../core/find-expiring.ts";
import { readServed } from "../outbound/certificate-store.ts";
import type { RouterTables } from "../outbound/tables.ts";

const TOLD_AGAIN_MS = 24 * 3600 * 1000;

/** @returns what looks once */
export function watchExpiry(given: { db: Kysely<RouterTables>; log: Log }): () => Promise<void> {
  const toldAtMs = new Map<string, number>();
  let expiring = 0;
  observe(
    {
      name: "berth.certificates.expiring",
      unit: "{certificate}",
      description: "certificates that are served and have less than a quarter of their life left",
      kind: "gauge",
    },
    () => [{ value: expiring, attributes: {} }],
  );
  return async () => {
    const nowMs = Date.now();
    const found = findExpiring(await readServed(given.db), nowMs);
    expiring = found.length;
    for (const id of toldAtMs.keys()) if (!found.some((one) => one.id === id)) toldAtMs.delete(id);
    for (const { id, hostnames, notAfterMs } of found) {
      if (nowMs - (toldAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < TOLD_AGAIN_MS) continue;
      toldAtMs.set(id, nowMs);
      given.log.warn("certificate.expires-soon", { id, hostnames, at: new Date(notAfterMs).toISOString() });
    }
  };
}
