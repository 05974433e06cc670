/**
 * `berth rehearse`: plays the cases of this folder in their full length on a lab of its own, draws what happened when,
 * and ends with a table of what was promised and what was measured. Ends with 1 when a promise is broken.
 */
import { parseArgs } from "node:util";
import { interruptSignal } from "@berth/infra/interrupt.ts";
import { type Finding, type HostCase, type Lengths, shortLengths } from "./case.ts";
import { hostCases } from "./cases.ts";
import { type HostPod, makeStateDir, removeHostPod, startHostPod } from "./host-pod.ts";

const HELP = `Usage: berth rehearse [CASE...] [--minutes N] [--short] [--json]

Makes a lab of five Docker hosts on this machine with a control plane and two small apps under load, lets hosts and
control plane fail, prints what happened when, and judges it against what Berth promises. Needs root. About 20 minutes.

  --minutes N   how long the control plane is away, 1 to 60 (default 10)
  --short       every case as short as in the project's tests: about 4 minutes
  --json        the findings as JSON on standard output; all else goes to standard error

Cases:
${hostCases.map(({ name, title }) => `  ${name.padEnd(18)}${title}`).join("\n")}

Examples:
  berth rehearse
  berth rehearse host-dies outage --minutes 2
`;

interface Wish {
  readonly cases: readonly HostCase[];
  readonly lengths: Lengths;
  readonly json: boolean;
}

interface Played {
  readonly case: string;
  readonly findings: readonly Finding[];
  /** Why the case did not come to its end. */
  readonly error: string | null;
}

/** @throws TypeError for an option that is not known */
function parse(words: readonly string[]) {
  return parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      minutes: { type: "string", default: "10" },
      short: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
}

/** @returns the wish, or what to print and the code to end with */
function readWords(words: readonly string[]): Wish | { readonly text: string; readonly code: 0 | 2 } {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(words);
  } catch (error) {
    return { text: `${(error as Error).message}\n\n${HELP}`, code: 2 };
  }
  const { values, positionals } = parsed;
  if (values.help) return { text: HELP, code: 0 };
  const unknown = positionals.filter((name) => !hostCases.some((one) => one.name === name));
  if (unknown.length > 0)
    return { text: `there is no case ${unknown.join(", ")}: 'berth rehearse --help' lists them\n`, code: 2 };
  const minutes = Number(values.minutes);
  if (!(minutes >= 1 && minutes <= 60)) return { text: "--minutes takes a number from 1 to 60\n", code: 2 };
  const cases = hostCases.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const full = { cutMs: 180_000, massLossMs: 60_000, outageMs: minutes * 60_000, pausesCount: 6 };
  return { cases, lengths: values.short ? shortLengths : full, json: values.json };
}

async function rehearse({ cases, lengths, json }: Wish): Promise<number> {
  const say = (line: string): void => void (json ? process.stderr : process.stdout).write(`${line}\n`);
  const signal = interruptSignal(say);
  const stateDir = makeStateDir();
  const played: Played[] = [];
  let pod: HostPod | null = null;
  try {
    pod = await startHostPod({ stateDir, say, signal });
    for (const one of cases) if (!signal.aborted) played.push(await play(pod, one, lengths, say));
  } finally {
    await pod?.close();
    await removeHostPod(stateDir, say);
  }
  if (json) process.stdout.write(`${JSON.stringify({ cases: played }, null, 2)}\n`);
  say(table(played));
  const allKept = played.every(({ error, findings }) => error === null && findings.every(({ kept }) => kept));
  return allKept && played.length === cases.length ? 0 : 1;
}

async function play(
  pod: HostPod,
  one: HostCase,
  lengths: Lengths,
  say: (line: string) => void,
): Promise<Played> {
  say(`\n── ${one.name}: ${one.title}`);
  try {
    await pod.reset();
    return { case: one.name, findings: await one.run(pod, lengths), error: null };
  } catch (error) {
    say(`   did not come to its end: ${String(error)}`);
    return { case: one.name, findings: [], error: String(error) };
  }
}

function table(played: readonly Played[]): string {
  const rows = played.flatMap(({ case: name, findings, error }) => [
    ...findings.map((one) => [one.kept ? "kept" : "BROKEN", name, one.what, one.promise, one.measured]),
    ...(error === null ? [] : [["BROKEN", name, "the case", "comes to its end", error]]),
  ]);
  const head = ["", "case", "what", "promise", "measured"];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join("  ");
  return ["", ...[head, ...rows].map(line)].join("\n");
}

const wish = readWords(process.argv.slice(2));
if ("text" in wish) {
  (wish.code === 0 ? process.stdout : process.stderr).write(wish.text);
  process.exit(wish.code);
}
process.exit(await rehearse(wish));
