/**
 * JobObserved(accepted): the winner of an award waits for its envelope. The record is asked, not the message: only
 * the host that holds this job at this epoch gets it, sealed to the key with which that host joined.
 */
import type { JobObserved } from "@berth/shared/contracts/job.ts";
import { DeliverEnvelope } from "@berth/shared/contracts/secret.ts";
import { batched, shared } from "@berth/shared/kit/batch.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { withSpan } from "@berth/shared/kit/telemetry.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { type AskedAward, findStandingAwards } from "../outbound/awards.ts";
import type { RegistryTokens } from "../outbound/registry-tokens.ts";
import type { Delivery, Vault, VaultTables } from "../outbound/vault.ts";

interface Given {
  readonly db: Kysely<VaultTables>;
  readonly vault: Vault;
  readonly tokens: RegistryTokens;
  readonly curve: Curve;
  readonly bus: Bus;
  readonly log: Log;
  readonly pullTokenSeconds: number;
}

/** Of a scaling that awards many jobs at once, a statement serves so many. */
const MOST_AT_ONCE = 100;

/**
 * Many jobs of one release ask at the same time: their awards are read and their deliveries noted together, and the
 * variables are opened and the pull token is minted once for all that ask while it is done. Nothing clear is kept. The
 * envelope is made for each job by itself.
 */
export function onJobObserved(given: Given) {
  const { db, vault, tokens, curve, bus, log, pullTokenSeconds } = given;
  const findAward = batched((asked: readonly AskedAward[]) => findStandingAwards(db, asked), MOST_AT_ONCE);
  const note = batched(async (deliveries: readonly Delivery[]) => {
    await vault.recordDeliveries(deliveries);
    return deliveries;
  }, MOST_AT_ONCE);
  const [variablesOf, tokenFor] = [shared<Readonly<Record<string, string>>>(), shared<{ token: string }>()];
  return async ({ hostId, job }: z.infer<typeof JobObserved.payload>): Promise<void> => {
    if (job.state !== "accepted") return;
    const { jobId, epoch } = job;
    const award = await findAward({ jobId, epoch, hostId });
    if (award === null) {
      log.warn("envelope.refused", { jobId, epoch, hostId, reason: "no such award stands" });
      return;
    }
    const { orgId, serviceId, configVersion: version, imageRepository, hostCurveKey } = award;
    await withSpan("seal envelope", { "berth.job": jobId, "berth.host": hostId }, async () => {
      const [variables, pull] = await Promise.all([
        variablesOf(`${serviceId} ${version}`, () => vault.open(orgId, serviceId, version)),
        tokenFor(imageRepository, () => tokens.mint(imageRepository, ["pull"], pullTokenSeconds)),
      ]);
      const envelope = { hostId, jobId, epoch, variables, pullToken: pull.token };
      crashPoint("secrets.before-delivery");
      const { outcome } = await bus.request(DeliverEnvelope, {
        ...{ hostId, jobId, epoch, senderKey: curve.publicKey },
        sealed: curve.sealJson(envelope, hostCurveKey),
      });
      crashPoint("secrets.after-delivery");
      await note({ jobId, epoch, hostId, serviceId, version, outcome });
    });
  };
}
