/**
 * The protocol that Berth's auction replaced, for comparison: one auction per job, every host is asked and bids, the
 * best bid is awarded. Same schemas, same scoring, same durable record, several auctions at a time.
 */
import type { HostId } from "@berth/shared/domain/ids.ts";
import {
  DEFAULT_WEIGHTS,
  HostState,
  Lot,
  refuse,
  scoreTerms,
  totalScore,
} from "@berth/shared/domain/placement.ts";
import type { BareConnection } from "@berth/shared/kit/bare-connection.ts";
import { z } from "zod";
import type { SimAgents } from "./sim-agents.ts";

export const lotSubject = "bench.lot";
const Bid = z.strictObject({ hostId: z.string(), score: z.number().nullable(), state: HostState });

const decoder = new TextDecoder();

/** One agent's part: judges every lot that is called out, by the shared function, and says its score and state. */
export function answerBroadcasts(
  connection: BareConnection,
  hostId: HostId,
  agents: SimAgents,
): { close(): void } {
  const subscription = connection.subscribe(lotSubject, {
    callback: (_error, message) => {
      const lot = Lot.parse(JSON.parse(decoder.decode(message.data)));
      const state = agents.state(hostId);
      const score = refuse(state, lot) === null ? totalScore(scoreTerms(state, lot), DEFAULT_WEIGHTS) : null;
      message.respond(JSON.stringify(Bid.parse({ hostId, score, state })));
    },
  });
  return { close: () => subscription.unsubscribe() };
}

/** The auctioneer's part. @returns the host with the best bid of all `count` */
export async function callOut(connection: BareConnection, lot: Lot, count: number): Promise<string | null> {
  const bids = await connection.requestMany(lotSubject, JSON.stringify(lot), {
    strategy: "count",
    maxMessages: count,
    maxWait: 10_000,
  });
  let best: { hostId: string; score: number } | null = null;
  for await (const message of bids) {
    const { hostId, score } = Bid.parse(JSON.parse(decoder.decode(message.data)));
    if (score === null) continue;
    if (best === null || score > best.score || (score === best.score && hostId < best.hostId))
      best = { hostId, score };
  }
  return best?.hostId ?? null;
}
