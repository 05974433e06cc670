/** RestoreVars: a rollback brings back the variables of an earlier release, as a new version. */
import type { RestoreVars } from "@berth/shared/contracts/secret.ts";
import type { z } from "zod";
import type { Vault } from "../outbound/vault.ts";

export function onRestoreVars(given: { vault: Vault }) {
  return async (request: z.infer<typeof RestoreVars.payload>): Promise<z.infer<typeof RestoreVars.reply>> => {
    const { orgId, serviceId, version, changedBy, requestId } = request;
    const outcome = await given.vault.restore(orgId, serviceId, version, changedBy, requestId);
    return outcome.kind === "refused"
      ? { outcome: "refused", reason: outcome.reason }
      : { outcome: "restored", version: outcome.version };
  };
}
