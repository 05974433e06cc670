/**
 * `berth sim`: runs seeds of the simulator; ends with 1 and prints the seed and the shortest trace when one fails.
 *
 *   node test/sim/run.ts [--seeds 10000] [--from 1] [--seed N] [--without GUARD] [--json] [--keep-going]
 */
import { parseArgs } from "node:util";
import { GUARDS, type Guard, isGuard } from "./guards.ts";
import { INVARIANTS } from "./invariants.ts";
import { makePlan } from "./plan.ts";
import { printTrace } from "./print-trace.ts";
import { Rng } from "./rng.ts";
import { shrink } from "./shrink.ts";
import { type Outcome, simulateSeed } from "./simulate.ts";

const HELP = `Usage: berth sim [--seeds N] [--from N] [--seed N] [--without GUARD] [--json] [--keep-going]

Runs the real scheduler and agent cores in one process, with a fake clock and every fault of the design.

Guards:
${Object.entries(GUARDS)
  .map(([name, text]) => `  ${name.padEnd(24)}${text}`)
  .join("\n")}

Invariants, checked after every step:
${Object.entries(INVARIANTS)
  .map(([name, text]) => `  ${name.padEnd(38)}${text}`)
  .join("\n")}
`;

function main(args: readonly string[]): number {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string", default: "10000" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      without: { type: "string" },
      json: { type: "boolean", default: false },
      "keep-going": { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.without !== undefined && !isGuard(values.without)) {
    process.stderr.write(
      `there is no guard ${JSON.stringify(values.without)}. There are: ${Object.keys(GUARDS).join(", ")}\n`,
    );
    return 2;
  }
  const without: Guard | null = values.without ?? null;
  const first = whole(values.seed ?? values.from);
  const count = values.seed === undefined ? whole(values.seeds) : 1;
  if (first === null || count === null) {
    process.stderr.write("--seeds, --from and --seed take whole numbers\n");
    return 2;
  }
  return runSeeds({ first, count, without, json: values.json, keepGoing: values["keep-going"] });
}

function whole(text: string): number | null {
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : null;
}

interface Wish {
  readonly first: number;
  readonly count: number;
  readonly without: Guard | null;
  readonly json: boolean;
  readonly keepGoing: boolean;
}

function runSeeds({ first, count, without, json, keepGoing }: Wish): number {
  const beganMs = performance.now();
  const failed: Outcome[] = [];
  let stepsCount = 0;
  let simulatedMs = 0;
  let ran = 0;
  for (let seed = first; seed < first + count; seed++) {
    const outcome = simulateSeed(seed, without);
    ran += 1;
    stepsCount += outcome.stepsCount;
    simulatedMs += outcome.simulatedMs;
    if (outcome.violation === null) continue;
    failed.push(outcome);
    if (!json) process.stdout.write(`seed ${seed}: ${outcome.violation.text}\n`);
    if (!keepGoing) break;
  }
  const seconds = (performance.now() - beganMs) / 1000;
  const [worst] = failed;
  const short = worst === undefined ? null : shrink(makePlan(worst.seed, new Rng(worst.seed)), without);
  const summary = {
    seeds: ran,
    failed: failed.length,
    without,
    steps: stepsCount,
    simulatedHours: Number((simulatedMs / 3_600_000).toFixed(1)),
    seconds: Number(seconds.toFixed(1)),
    seedsPerMinute: Math.round((ran / seconds) * 60),
  };
  if (json)
    process.stdout.write(
      `${JSON.stringify({ ...summary, failures: failed.map(({ seed, violation }) => ({ seed, violation })), shortest: short })}\n`,
    );
  else {
    if (short !== null) process.stdout.write(printTrace(short, without));
    process.stdout.write(
      `${ran} seeds, ${failed.length} failed${without === null ? "" : ` without ${without}`}; ${stepsCount} steps, ${summary.simulatedHours} simulated hours in ${summary.seconds} s (${summary.seedsPerMinute} seeds a minute)\n`,
    );
  }
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
