/**
 * Why the winner and not the next best: the difference of their scores, by term, drawn as bars. Pure.
 *
 * A decision stores terms, not weights; which strategy made it shows in the score itself.
 */
import type { ScoreTerms, ScoreWeights } from "@berth/shared/domain/placement.ts";
import { BINPACK_WEIGHTS, DEFAULT_WEIGHTS, totalScore } from "@berth/shared/domain/placement.ts";

export interface Bidder {
  readonly host: string;
  readonly score: number | null;
  readonly terms: ScoreTerms | null;
}

const STRATEGIES: readonly { readonly name: string; readonly weights: ScoreWeights }[] = [
  { name: "spread", weights: DEFAULT_WEIGHTS },
  { name: "binpack", weights: BINPACK_WEIGHTS },
];
const MOST_OTHERS = 3;
const LEAST_DIFFERENCE = 0.005;
const BAR_WIDTH = 20;

/** @param title a term's heading @returns no lines when there is nobody to compare with */
export function explainChoice(
  candidates: readonly Bidder[],
  winner: string | null,
  title: (term: string) => string,
): string[] {
  const chosen = candidates.find(({ host, terms }) => host === winner && terms !== null);
  const strategy = STRATEGIES.find(({ weights }) => chosen !== undefined && fits(chosen, weights));
  if (chosen?.terms == null || strategy === undefined) return [];
  const others = candidates
    .filter((one) => one !== chosen && one.terms !== null)
    .toSorted((a, b) => (b.score ?? 0) - (a.score ?? 0))
    .slice(0, MOST_OTHERS);
  return others.flatMap((other) => compare(chosen, other, strategy, title));
}

function fits({ terms, score }: Bidder, weights: ScoreWeights): boolean {
  return terms !== null && score !== null && Math.abs(totalScore(terms, weights) - score) < 0.01;
}

function compare(
  chosen: Bidder,
  other: Bidder,
  { name, weights }: (typeof STRATEGIES)[number],
  title: (term: string) => string,
): string[] {
  const differences = termNames(weights)
    .map((term) => ({ term, by: weights[term] * ((chosen.terms?.[term] ?? 0) - (other.terms?.[term] ?? 0)) }))
    .filter(({ by }) => Math.abs(by) >= LEAST_DIFFERENCE)
    .toSorted((a, b) => Math.abs(b.by) - Math.abs(a.by));
  const total = (chosen.score ?? 0) - (other.score ?? 0);
  if (differences.length === 0)
    return [`${chosen.host} and ${other.host} are equal (${name}): the order of their ids decides`];
  const most = Math.abs(differences[0]?.by ?? 1);
  return [
    `${chosen.host} over ${other.host} by ${total.toFixed(2)} (${name})`,
    ...differences.map(({ term, by }) => {
      const bar = (by > 0 ? "█" : "░").repeat(Math.max(1, Math.round((Math.abs(by) / most) * BAR_WIDTH)));
      return `  ${title(term).padEnd(8)}${`${by > 0 ? "+" : ""}${by.toFixed(2)}`.padStart(10)}  ${bar}`;
    }),
  ];
}

function termNames(weights: ScoreWeights): (keyof ScoreWeights)[] {
  return Object.keys(weights) as (keyof ScoreWeights)[];
}
