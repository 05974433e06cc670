/** MintPushToken: a running build may push to its own service's repository, and nothing else. */

import type { MintPushToken } from "@berth/shared/contracts/secret.ts";
import { crashPoint } from "@berth/shared/kit/crash-point.ts";
import type { Kysely } from "kysely";
import type { z } from "zod";
import { mayPush } from "../outbound/awards.ts";
import type { RegistryTokens } from "../outbound/registry-tokens.ts";
import type { VaultTables } from "../outbound/vault.ts";

/** The base image of buildpack apps: only the builder pushes it, at no build's occasion, and every push may mount it. */
const STACK_REPOSITORY = "berth/stack";

export function onMintPushToken(given: {
  db: Kysely<VaultTables>;
  tokens: RegistryTokens;
  lifeSeconds: number;
}) {
  return async ({
    buildId,
    imageRepository,
  }: z.infer<typeof MintPushToken.payload>): Promise<z.infer<typeof MintPushToken.reply>> => {
    if (imageRepository !== STACK_REPOSITORY && !(await mayPush(given.db, buildId, imageRepository))) {
      return {
        outcome: "refused",
        reason: "this build does not run, or the repository is not its service's",
      };
    }
    const token = await given.tokens.mint(
      imageRepository,
      ["pull", "push"],
      given.lifeSeconds,
      STACK_REPOSITORY,
    );
    crashPoint("secrets.push-token-minted");
    return { outcome: "minted", ...token };
  };
}
