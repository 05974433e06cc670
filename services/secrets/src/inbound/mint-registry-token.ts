/** MintRegistryToken: a person whom the api let through may push to a service's own repository, and nothing else. */
import type { MintRegistryToken } from "@berth/shared/contracts/secret.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { isService } from "../outbound/awards.ts";
import type { RegistryTokens } from "../outbound/registry-tokens.ts";
import type { VaultTables } from "../outbound/vault.ts";

export function onMintRegistryToken(given: {
  db: Kysely<VaultTables>;
  tokens: RegistryTokens;
  lifeSeconds: number;
}) {
  return async ({
    orgId,
    serviceId,
  }: z.infer<typeof MintRegistryToken.payload>): Promise<z.infer<typeof MintRegistryToken.reply>> => {
    if (!(await isService(given.db, orgId, serviceId)))
      return { outcome: "refused", reason: "the org has no such service" };
    const repository = `${orgId}/${serviceId}`;
    const token = await given.tokens.mint(repository, ["pull", "push"], given.lifeSeconds);
    return { outcome: "minted", repository, ...token };
  };
}
