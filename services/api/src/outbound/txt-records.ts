/**
 * TXT records of names that customers chose. Their servers may be slow or hostile: every look-up has a deadline, there
 * are few at once, and an answer is looked at only as far as a proof may be long.
 */
import { Resolver } from "node:dns/promises";
import type { ProofAnswer } from "../core/judge-proof.ts";

export interface TxtRecords {
  lookUp(name: string): Promise<ProofAnswer>;
}

const MOST_AT_ONCE = 20;
const MOST_VALUES = 100;
const ABSENT = new Set(["ENOTFOUND", "ENODATA"]);

/** @param servers `ADDRESS[:PORT]`; none: those of the machine */
export function createTxtRecords(given: {
  readonly servers: readonly string[];
  readonly timeoutMs: number;
}): TxtRecords {
  let atOnce = 0;
  return {
    lookUp: async (name) => {
      if (atOnce >= MOST_AT_ONCE) return { kind: "busy" };
      atOnce++;
      try {
        return await ask(name, given.servers, given.timeoutMs);
      } finally {
        atOnce--;
      }
    },
  };
}

async function ask(name: string, servers: readonly string[], timeoutMs: number): Promise<ProofAnswer> {
  // One of its own: `cancel` ends all that a resolver has under way.
  const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / 2), tries: 2 });
  if (servers.length > 0) resolver.setServers(servers);
  const deadline = setTimeout(() => resolver.cancel(), timeoutMs);
  try {
    const records = await resolver.resolveTxt(name);
    return { kind: "found", values: records.slice(0, MOST_VALUES).map((chunks) => chunks.join("")) };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    return ABSENT.has(code) ? { kind: "none" } : { kind: "failed", reason: code };
  } finally {
    clearTimeout(deadline);
  }
}
