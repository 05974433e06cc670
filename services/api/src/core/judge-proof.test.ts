import { expect, test } from "vitest";
import { judgeProof, type ProofAnswer } from "./judge-proof.ts";

const judge = (answer: ProofAnswer, failingSinceMs: number | null, nowMs = 1000) =>
  judgeProof({ answer, wanted: "berth-verify=a", failingSinceMs, nowMs, graceMs: 500 });
const found = (...values: string[]): ProofAnswer => ({ kind: "found", values });

test.each<[string, ReturnType<typeof judge>, object]>([
  ["the record among others", judge(found("v=spf1", "berth-verify=a"), 1), { kind: "proved" }],
  ["no record", judge({ kind: "none" }, null), { kind: "failing", sinceMs: 1000 }],
  ["another value", judge(found("berth-verify=b"), null), { kind: "failing", sinceMs: 1000 }],
  ["no record still", judge({ kind: "none" }, 501), { kind: "failing", sinceMs: 501 }],
  ["no record for too long", judge({ kind: "none" }, 500), { kind: "lost", sinceMs: 500 }],
  ["no answer, even after too long", judge({ kind: "failed", reason: "ESERVFAIL" }, 1), { kind: "unknown" }],
  ["nobody asked", judge({ kind: "busy" }, 1), { kind: "unknown" }],
])("%s", (_what, judged, expected) => expect(judged).toMatchObject(expected));
