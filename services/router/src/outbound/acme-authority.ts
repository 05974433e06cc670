/** An authority that issues certificates by ACME (RFC 8555), with HTTP-01. The only importer of `acme-client`. */
import { AcmeChallenge } from "@berth/shared/contracts/route.ts";
import * as acme from "acme-client";

export interface Issued {
  /** PEM: the certificate and its intermediates. */
  readonly chain: string;
  /** PEM. */
  readonly key: string;
}

export interface AcmeAuthority {
  /**
   * @param publish makes every edge answer the challenge before the authority is asked to look
   * @throws Error with the authority's words
   */
  issue(name: string, publish: (challenge: AcmeChallenge) => Promise<void>): Promise<Issued>;
}

const REQUEST_TIMEOUT_MS = 15_000;

export function createAcmeAuthority(given: {
  readonly directory: string;
  readonly accountKey: string;
  readonly contact: string | undefined;
}): AcmeAuthority {
  acme.axios.defaults.timeout = REQUEST_TIMEOUT_MS;
  const client = new acme.Client({
    ...{ directoryUrl: given.directory, accountKey: given.accountKey },
    ...{ backoffAttempts: 12, backoffMin: 500, backoffMax: 5000 },
  });
  const contact = given.contact === undefined ? [] : [`mailto:${given.contact}`];
  // The same key answers the same account, so it is asked for again after each start.
  let account: Promise<unknown> | null = null;
  const ready = async (): Promise<void> => {
    account ??= client.createAccount({ termsOfServiceAgreed: true, contact });
    await account.catch((error: unknown) => {
      account = null;
      throw error;
    });
  };
  return {
    issue: async (name, publish) => {
      await ready();
      const order = await client.createOrder({ identifiers: [{ type: "dns", value: name }] });
      for (const authorization of await client.getAuthorizations(order)) {
        if (authorization.status !== "valid") await prove(client, authorization, publish);
      }
      const ecKey = await acme.crypto.createPrivateEcdsaKey("P-256");
      const [key, request] = await acme.crypto.createCsr({ altNames: [name] }, ecKey);
      const chain = await client.getCertificate(await client.finalizeOrder(order, request));
      return { chain, key: key.toString() };
    },
  };
}

async function prove(
  client: acme.Client,
  authorization: acme.Authorization,
  publish: (challenge: AcmeChallenge) => Promise<void>,
): Promise<void> {
  const challenge = authorization.challenges.find(({ type }) => type === "http-01");
  if (challenge === undefined) throw new Error("the authority offers no HTTP-01 challenge");
  const keyAuthorization = await client.getChallengeKeyAuthorization(challenge);
  await publish(AcmeChallenge.parse({ token: challenge.token, keyAuthorization }));
  await client.completeChallenge(challenge);
  await client.waitForValidStatus(challenge);
}
