/**
 * What a look for the proof of a domain that is served says of it.
 *
 * Pure. A name server that gives no answer proves nothing, either way: only an answer without the record counts against
 * a domain, and only after such answers for the whole time of grace it is released.
 */
/** `none`: answered, without TXT records. `failed`: no answer that says so. `busy`: nobody asked. */
export type ProofAnswer =
  | { readonly kind: "found"; readonly values: readonly string[] }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "busy" };

export type ProofJudgement =
  | { readonly kind: "proved" }
  | { readonly kind: "unknown" }
  | { readonly kind: "failing"; readonly sinceMs: number; readonly text: string }
  | { readonly kind: "lost"; readonly sinceMs: number; readonly text: string };

export function judgeProof(given: {
  readonly answer: ProofAnswer;
  /** Value that the record must have. */
  readonly wanted: string;
  /** Since when it was found missing, in ms since 1970; null: it was there the last time. */
  readonly failingSinceMs: number | null;
  readonly nowMs: number;
  readonly graceMs: number;
}): ProofJudgement {
  const { answer, wanted, nowMs, graceMs } = given;
  if (answer.kind === "failed" || answer.kind === "busy") return { kind: "unknown" };
  if (answer.kind === "found" && answer.values.includes(wanted)) return { kind: "proved" };
  const sinceMs = given.failingSinceMs ?? nowMs;
  const text = answer.kind === "none" ? "DNS has no TXT record" : "the TXT record has another value";
  return { kind: nowMs - sinceMs >= graceMs ? "lost" : "failing", sinceMs, text };
}
