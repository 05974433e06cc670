/**
 * JobObserved(accepted): the winner of an award waits for its envelope. The record is asked, not the message: only
 * the host that holds this job at this epoch gets it, sealed to the key with which that host joined.
 */
import type { JobObserved } from "@berth/shared/contracts/job.ts";
import { DeliverEnvelope } from "@berth/shared/contracts/secret.ts";
import type { Bus } from "@berth/shared/kit/bus.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { withSpan } from "@berth/shared/kit/telemetry.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { findStandingAward } from "../outbound/awards.ts";
import type { RegistryTokens } from "../outbound/registry-tokens.ts";
import type { Vault, VaultTables } from "../outbound/vault.ts";

interface Given {
  readonly db: Kysely<VaultTables>;
  readonly vault: Vault;
  readonly tokens: RegistryTokens;
  readonly curve: Curve;
  readonly bus: Bus;
  readonly log: Log;
  readonly pullTokenSeconds: number;
}

export function onJobObserved(given: Given) {
  return async ({ hostId, job }: z.infer<typeof JobObserved.payload>): Promise<void> => {
    if (job.state !== "accepted") return;
    const award = await findStandingAward(given.db, job.jobId, job.epoch, hostId);
    if (award === null) {
      given.log.warn("envelope.refused", {
        jobId: job.jobId,
        epoch: job.epoch,
        hostId,
        reason: "no such award stands",
      });
      return;
    }
    await withSpan("seal envelope", { "berth.job": job.jobId, "berth.host": hostId }, async () => {
      const variables = await given.vault.open(award.orgId, award.serviceId, award.configVersion);
      const pull = await given.tokens.mint(award.imageRepository, ["pull"], given.pullTokenSeconds);
      const envelope = { hostId, jobId: job.jobId, epoch: job.epoch, variables, pullToken: pull.token };
      crashPoint("secrets.before-delivery");
      const { outcome } = await given.bus.request(DeliverEnvelope, {
        hostId,
        jobId: job.jobId,
        epoch: job.epoch,
        senderKey: given.curve.publicKey,
        sealed: given.curve.sealJson(envelope, award.hostCurveKey),
      });
      crashPoint("secrets.after-delivery");
      await given.vault.recordDelivery({
        jobId: job.jobId,
        epoch: job.epoch,
        hostId,
        serviceId: award.serviceId,
        version: award.configVersion,
        outcome,
      });
    });
  };
}
