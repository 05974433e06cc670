/**
 * Looks for the TXT records of served domains again, a few at a time: who gave a name up, or never renewed it, must not
 * be answered for here. What is missing is told for the time of grace, and then released, with an audit row.
 */
import { randomUUID } from "node:crypto";
import { proofName, proofValue } from "@berth/shared/domain/domain-name.ts";
import type { Log } from "@berth/shared/kit/log.ts";
import { judgeProof } from "../core/judge-proof.ts";
import { audited } from "../outbound/audited.ts";
import {
  type DueProof,
  loseDomain,
  type ProofTimes,
  storeProof,
  takeDueProofs,
} from "../outbound/domain-proof-store.ts";
import type { Db } from "../outbound/tables.ts";
import type { TxtRecords } from "../outbound/txt-records.ts";

export interface ReproveGiven {
  readonly db: Db;
  readonly log: Log;
  readonly txt: TxtRecords;
  readonly times: ProofTimes;
  readonly graceMs: number;
}

const AT_ONCE = 5;
const AGAIN_MS = 3_600_000;

export function proofTimes(everyMs: number): ProofTimes {
  return { everyMs, againMs: Math.min(everyMs, AGAIN_MS) };
}

/** All that are due. */
export async function reproveDomains(given: ReproveGiven): Promise<void> {
  for (;;) {
    const due = await takeDueProofs(given.db, given.times, AT_ONCE);
    await Promise.all(due.map((one) => reprove(given, one)));
    if (due.length < AT_ONCE) return;
  }
}

async function reprove({ db, log, txt, times, graceMs }: ReproveGiven, due: DueProof): Promise<void> {
  const { name, serviceId, orgId, token, failingSinceMs } = due;
  const answer = await txt.lookUp(proofName(name));
  const wanted = proofValue(token);
  const judgement = judgeProof({ answer, wanted, failingSinceMs, nowMs: Date.now(), graceMs });
  await storeProof(db, due, judgement, times);
  if (judgement.kind === "failing" && failingSinceMs === null)
    log.warn("domain.unproved", { name, serviceId, reason: judgement.text });
  if (judgement.kind !== "lost") return;
  const actor = { actor: "platform", tokenId: null, requestId: randomUUID(), remoteAddress: "" };
  await audited(db, actor, async (trx) => {
    const released = await loseDomain(trx, due);
    const details = {
      name,
      reason: judgement.text,
      since: new Date(judgement.sinceMs).toISOString(),
      released,
    };
    return { result: null, act: { action: "domain.proof-lost", target: serviceId, orgId, details } };
  });
  log.warn("domain.released", { name, serviceId, reason: judgement.text });
}
