/**
 * Takes the bus credentials of removed hosts back: their connections are closed, and they never come in again.
 *
 * Level-triggered: the whole list goes to the bus's server when it changed, and every minute, because the server's
 * folder may be lost.
 */
import type { Log } from "@berth/shared/kit/log.ts";
import { Reconciler } from "@berth/shared/kit/reconciler.ts";
import type { Closable } from "@berth/shared/kit/service.ts";
import type { AccountSigner } from "../outbound/account-signer.ts";
import { readRevocations } from "../outbound/revocation-store.ts";
import type { Db } from "../outbound/tables.ts";

const AGAIN_MS = 60_000;
const LOOK_MS = 5000;

interface Given {
  readonly db: Db;
  readonly log: Log;
  readonly signer: AccountSigner;
  readonly push: (accountJwt: string) => Promise<void>;
}

export function revokeRemovedHosts({ db, log, signer, push }: Given): Closable & { wake(): void } {
  let sent: { content: string; jwt: string; atMs: number } | null = null;
  return new Reconciler({
    name: "revocations",
    everyMs: LOOK_MS,
    log,
    run: async () => {
      const revocations = await readRevocations(db);
      const content = JSON.stringify(revocations);
      const nowMs = Date.now();
      const changed = sent?.content !== content;
      if (!changed && sent !== null && nowMs - sent.atMs < AGAIN_MS) return;
      const jwt = changed || sent === null ? await signer.sign(revocations) : sent.jwt;
      await push(jwt);
      sent = { content, jwt, atMs: nowMs };
      if (changed) log.info("hosts.revoked", { keys: Object.keys(revocations).length });
    },
  });
}
