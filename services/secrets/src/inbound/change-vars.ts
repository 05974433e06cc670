/** ChangeVars: the api hands over a change that only this service can read. */
import type { ChangeVars } from "@berth/shared/contracts/secret.ts";
import { VarsChange } from "@berth/shared/contracts/secret.ts";
import type { Curve } from "@berth/shared/kit/curve.ts";
import type { z } from "zod";
import type { Vault } from "../outbound/vault.ts";

export function onChangeVars(given: { vault: Vault; curve: Curve }) {
  return async (request: z.infer<typeof ChangeVars.payload>): Promise<z.infer<typeof ChangeVars.reply>> => {
    const change = readSealed(given.curve, request.sealed, request.senderKey);
    if (change === null)
      return { outcome: "refused", reason: "the change could not be opened or is not one" };
    if (change.serviceId !== request.serviceId)
      return { outcome: "refused", reason: "the change is for another service" };
    const outcome = await given.vault.change(request.orgId, change, request.changedBy, request.requestId);
    if (outcome.kind === "refused") return { outcome: "refused", reason: outcome.reason };
    return { outcome: "changed", version: outcome.version, variables: [...outcome.variables] };
  };
}

function readSealed(curve: Curve, sealed: string, senderKey: string): VarsChange | null {
  try {
    const parsed = VarsChange.safeParse(curve.openJson(sealed, senderKey));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
