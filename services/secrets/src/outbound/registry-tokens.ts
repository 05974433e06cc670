/**
 * Registry tokens (distribution's token scheme): a short-lived JWT for exactly one repository (a push
 * token may read the platform's base image besides). Docker presents it
 * as it is (`registrytoken`), so there is no token endpoint that anybody could ask for more.
 */
import { createPrivateKey, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { SignJWT } from "jose";

export interface RegistryTokens {
  mint(
    repository: string,
    actions: readonly ("pull" | "push")[],
    lifeSeconds: number,
    /** A repository that may be read besides: the platform's own base layers. */
    alsoPull?: string,
  ): Promise<{ token: string; expiresAtMs: number }>;
}

/** @param given.issuer and audience as the registry's configuration names them */
export function createRegistryTokens(given: {
  keyFile: string;
  certFile: string;
  issuer: string;
  audience: string;
}): RegistryTokens {
  const key = createPrivateKey(readFileSync(given.keyFile, "utf8"));
  const certificate = readFileSync(given.certFile, "utf8").replace(
    /-----(BEGIN|END) CERTIFICATE-----|\s/g,
    "",
  );
  return {
    async mint(repository, actions, lifeSeconds, alsoPull) {
      const nowSeconds = Math.floor(Date.now() / 1000);
      const token = await new SignJWT({
        access: [
          { type: "repository", name: repository, actions: [...actions] },
          ...(alsoPull === undefined ? [] : [{ type: "repository", name: alsoPull, actions: ["pull"] }]),
        ],
      })
        .setProtectedHeader({ alg: "ES256", typ: "JWT", x5c: [certificate] })
        .setIssuer(given.issuer)
        .setAudience(given.audience)
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
