/**
 * Registry tokens (distribution's token scheme): a short-lived JWT for exactly one repository. Docker presents it
 * as it is (`registrytoken`), so there is no token endpoint that anybody could ask for more.
 */
import { randomUUID, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { SignJWT } from "jose";

export interface RegistryTokens {
  mint(repository: string, actions: readonly ("pull" | "push")[], lifeSeconds: number): Promise<{ token: string; expiresAtMs: number }>;
}

export const REGISTRY_ISSUER = "berth";
export const REGISTRY_AUDIENCE = "berth-registry";

export function createRegistryTokens(given: { keyFile: string; certFile: string }): RegistryTokens {
  const key = createPrivateKey(readFileSync(given.keyFile, "utf8"));
  const certificate = readFileSync(given.certFile, "utf8").replace(/-----(BEGIN|END) CERTIFICATE-----|\s/g, "");
  return {
    async mint(repository, actions, lifeSeconds) {
      const nowSeconds = Math.floor(Date.now() / 1000);
      const token = await new SignJWT({ access: [{ type: "repository", name: repository, actions: [...actions] }] })
        .setProtectedHeader({ alg: "ES256", typ: "JWT", x5c: [certificate] })
        .setIssuer(REGISTRY_ISSUER)
        .setAudience(REGISTRY_AUDIENCE)
        .setSubject("")
        .setJti(randomUUID())
        .setIssuedAt(nowSeconds)
        .setNotBefore(nowSeconds - 30)
        .setExpirationTime(nowSeconds + lifeSeconds)
        .sign(key);
      return { token, expiresAtMs: (nowSeconds + lifeSeconds) * 1000 };
    },
  };
}
