/** Makes a failing run as short as it gets: leaves out what is not needed for the same invariant to break. */
import type { Guard } from "./guards.ts";
import type { Plan } from "./plan.ts";
import { type Outcome, simulate } from "./simulate.ts";
import { CALM, type Weather } from "./world.ts";

export interface Shortest {
  readonly plan: Plan;
  readonly outcome: Outcome;
}

export function shrink(plan: Plan, without: Guard | null): Shortest {
  let best = plan;
  let outcome = simulate(best, without, true);
  const wanted = outcome.violation?.invariant;
  const attempt = (candidate: Plan): boolean => {
    const tried = simulate(candidate, without, true);
    if (tried.violation?.invariant !== wanted) return false;
    best = candidate;
    outcome = tried;
    return true;
  };
  if (wanted === undefined) return { plan, outcome };
  for (let again = true; again; ) {
    again = false;
    for (const name of Object.keys(CALM) as (keyof Weather)[]) {
      if (best.weather[name] === 0) continue;
      if (attempt({ ...best, weather: { ...best.weather, [name]: 0 } })) again = true;
    }
    for (let i = best.acts.length - 1; i >= 0; i--) {
      if (attempt({ ...best, acts: best.acts.filter((_, j) => j !== i) })) again = true;
    }
    if (best.skewsMs.some((skew) => skew !== 0) && attempt({ ...best, skewsMs: [] })) again = true;
  }
  return { plan: best, outcome };
}
