/** A decision of the auction for people: every host's bid, its score by term, its refusal, and who won. */
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { Answer } from "../client.ts";
import type { Column } from "../output/table.ts";
import { age, table } from "../output/table.ts";
import { explainChoice } from "./explain-choice.ts";

export type Decision = Answer<"whyService">["decisions"][number];
type Candidate = Decision["candidates"][number];

/** A term of the score and its heading; a term that this CLI does not know keeps its own name. */
const TITLES: Readonly<Record<string, string>> = {
  freeMemory: "RAM",
  freeDisk: "DISK",
  notStarting: "IDLE",
  fewSameService: "SPREAD",
  imagePresent: "IMAGE",
  fullMemory: "FULL",
  near: "NEAR",
  zoneBalance: "ZONE",
};

/** The terms that say something about any of the candidates. */
function termsOf(candidates: readonly Candidate[]): string[] {
  const all = candidates.flatMap(({ terms }) => Object.entries(terms ?? {}));
  return [...new Set(all.map(([term]) => term))].filter((term) =>
    all.some(([other, value]) => other === term && value !== 0),
  );
}

function termOf({ terms }: Candidate, term: string): string | null {
  const value = Object.entries(terms ?? {}).find(([name]) => name === term)?.[1];
  return value?.toFixed(2) ?? null;
}

export interface RenderedDecision {
  readonly heading: string;
  readonly lines: string[];
}

export function renderDecision(
  decision: Decision,
  nowMs: number,
  clean: (text: string) => string,
): RenderedDecision {
  const { process, slot, release, epoch, outcome, winner, answer, current, commonRefusal } = decision;
  const what = `${clean(process)}.${slot} v${release} (epoch ${epoch}), ${age(decision.decidedAtMs, nowMs)} ago`;
  const end =
    outcome === "placed"
      ? `on ${clean(winner ?? "?")}, which ${ANSWERS[answer]}`
      : `on no host: ${clean(commonRefusal ?? "every host refused")}`;
  const columns: Column<Candidate>[] = [
    { title: "HOST", cell: ({ host }) => clean(host) },
    {
      title: "FREE RAM",
      align: "right",
      cell: ({ bid }) => (bid === null ? null : formatBytes(bid.memoryFreeBytes)),
    },
    {
      title: "FREE DISK",
      align: "right",
      cell: ({ bid }) => (bid === null ? null : formatBytes(bid.diskFreeBytes)),
    },
    {
      title: "JOBS",
      align: "right",
      cell: ({ bid }) => (bid === null ? null : bid.jobSlotsTotal - bid.jobSlotsFree),
    },
    ...termsOf(decision.candidates).map(
      (term): Column<Candidate> => ({
        title: `+${TITLES[term] ?? clean(term)}`,
        align: "right",
        cell: (candidate) => termOf(candidate, term),
      }),
    ),
    { title: "SCORE", align: "right", cell: ({ score }) => score?.toFixed(2) ?? null },
    { title: "", cell: (candidate) => verdict(candidate, winner, clean) },
  ];
  const ordered = decision.candidates.toSorted(
    (a, b) => (b.score ?? -1) - (a.score ?? -1) || (a.host < b.host ? -1 : 1),
  );
  const names = decision.candidates.map((one) => ({ ...one, host: clean(one.host) }));
  const reasons = explainChoice(
    names,
    winner === null ? null : clean(winner),
    (term) => TITLES[term] ?? clean(term),
  );
  return {
    heading: `${what}: ${end}${current ? "" : " (no longer)"}`,
    lines: [...table(columns, ordered), ...reasons],
  };
}

const ANSWERS = {
  accepted: "accepted",
  declined: "declined",
  "no-answer": "did not answer",
  none: "has not answered yet",
} as const;

function verdict(
  { host, refusal, bid, terms }: Candidate,
  winner: string | null,
  clean: (text: string) => string,
): string {
  const image = terms === null ? "" : imageWords(terms.imagePresent);
  if (refusal !== null) return `refused, ${clean(refusal.code)}: ${clean(refusal.detail)}`;
  if (host === winner) return `winner, ${image}`;
  return bid === null ? "no bid" : image;
}

function imageWords(present: number): string {
  if (present === 1) return "image present";
  return present > 0 ? "most of the image present" : "image to pull";
}
