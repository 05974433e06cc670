/** A failing run for people: what was done to the pod, and the steps of those that the breach is about. */
import { describeAct } from "./acts.ts";
import type { Guard } from "./guards.ts";
import type { Shortest } from "./shrink.ts";
import { CALM } from "./world.ts";

const MOST_LINES = 40;

export function printTrace({ plan, outcome }: Shortest, without: Guard | null): string {
  const { violation, trace } = outcome;
  if (violation === null) return `seed ${plan.seed}: clean\n`;
  const about = new Set<string>([...violation.about, "fault"]);
  const steps = trace
    .filter((line) => about.has(line.about) && line.atMs <= violation.atMs)
    .slice(-MOST_LINES);
  const weather = Object.entries(plan.weather).filter(
    ([name, value]) => value !== CALM[name as keyof typeof CALM],
  );
  const lines = [
    `seed ${plan.seed}, shortest trace:`,
    `  hosts ${plan.hostSizes.join(", ")} jobs large; services of ${plan.scales.join(", ")}`,
    `  weather ${weather.length === 0 ? "calm" : weather.map(([name, value]) => `${name} ${value}`).join(", ")}`,
    ...plan.acts
      .filter(({ atMs }) => atMs <= violation.atMs)
      .map(({ atMs, act }) => `  planned ${time(atMs)} ${describeAct(act)}`),
    ...steps.map(({ atMs, text }) => `  ${time(atMs)} ${text}`),
    `  ${time(violation.atMs)} BROKEN ${violation.text}`,
    `again: berth sim --seed ${plan.seed}${without === null ? "" : ` --without ${without}`}`,
  ];
  return `${lines.join("\n")}\n`;
}

function time(ms: number): string {
  return `${(ms / 1000).toFixed(3).padStart(8)} s`;
}
