/** Signs the pod's bus account anew, with the users that it takes back. */
import { readFileSync } from "node:fs";
import { type Account, decode, encodeAccount } from "@nats-io/jwt";
import { fromPublic, fromSeed } from "@nats-io/nkeys";

/** Public key of a user → whole seconds since 1970: what was signed for it until then holds no more. */
export type Revocations = Readonly<Record<string, number>>;

export interface AccountSigner {
  sign(revocations: Revocations): Promise<string>;
}

/** Reads both files once. @throws Error when one is missing or is not what it should be */
export function loadAccountSigner(accountJwtFile: string, signingSeedFile: string): AccountSigner {
  const { name, sub, nats } = decode<Account>(readFileSync(accountJwtFile, "utf8").trim());
  const signer = fromSeed(new TextEncoder().encode(readFileSync(signingSeedFile, "utf8").trim()));
  const account = fromPublic(sub);
  return {
    sign: (revocations) =>
      encodeAccount(name, account, { ...nats, revocations: { ...revocations } }, { signer }),
  };
}
