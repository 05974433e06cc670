/**
 * Sends an account's JWT to the bus's server: how users are revoked. The server closes the connections of users that
 * the account revokes and refuses them from then on.
 *
 * What must stay true: its user may publish to one subject of the SYS account and nothing else.
 */
import { readFileSync } from "node:fs";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { z } from "zod";

export const CLAIMS_UPDATE = "$SYS.REQ.CLAIMS.UPDATE";
export const CLAIMS_INBOX = "_INBOX.claims";

export interface PushedClaims {
  readonly url: string;
  readonly credsFile: string;
  readonly caFile: string;
  readonly accountJwt: string;
  readonly timeoutMs: number;
}

const Answer = z.looseObject({
  data: z.looseObject({ code: z.number() }).optional(),
  error: z.looseObject({ description: z.string().optional() }).optional(),
});

/** @throws Error when the server does not take it in time; it may be sent again at any time */
export async function pushAccountClaims(given: PushedClaims): Promise<void> {
  const connection = await connect({
    servers: given.url,
    name: "revoking",
    authenticator: credsAuthenticator(readFileSync(given.credsFile)),
    tls: { ca: readFileSync(given.caFile, "utf8") },
    inboxPrefix: CLAIMS_INBOX,
    reconnect: false,
    timeout: given.timeoutMs,
  });
  try {
    const reply = await connection.request(CLAIMS_UPDATE, given.accountJwt, { timeout: given.timeoutMs });
    const { data, error } = Answer.parse(JSON.parse(reply.string()));
    if (data?.code !== 200)
      throw new Error(`the bus's server refused the account: ${error?.description ?? reply.string()}`);
  } finally {
    await connection.close();
  }
}
