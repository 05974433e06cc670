/**
 * `berth rehearse`: plays the cases of hosts, of networks and of a browser in their full length, each kind on a lab of its own, draws
 * what happened when, and ends with a table of what was promised and what was measured. Ends with 1 when a promise is broken.
 */
import { parseArgs } from "node:util";
import { interruptSignal } from "@berth/infra/interrupt.ts";
import { browserCases, startBrowserStage } from "../https/browser-stage.ts";
import { networkCases, startNetworkStage } from "../network/network-stage.ts";
import { type Finding, type Lengths, shortLengths } from "./case.ts";
import { hostCases } from "./cases.ts";
import { makeStateDir, removeHostPod, startHostPod } from "./host-pod.ts";

interface Titled {
  readonly name: string;
  readonly title: string;
}

const allCases: readonly Titled[] = [...hostCases, ...networkCases, ...browserCases];
const networkIndex = 16;

function caseLines(cases: readonly Titled[]): string {
  return cases.map(({ name, title }) => `  ${name.padEnd(18)}${title}`).join("\n");
}

const HELP = `Usage: berth rehearse [CASE...] [--minutes N] [--short] [--json]

Makes a lab of Docker hosts on this machine with a control plane and small apps, lets hosts, control plane and networks
fail and be attacked, prints what happened when, and judges it against what Berth promises. Needs root. About 30 minutes.

  --minutes N   how long the control plane is away, 1 to 60 (default 10)
  --short       every case as short as in the project's tests: about 4 minutes
  --json        the findings as JSON on standard output; all else goes to standard error

Cases, on five hosts under load:
${caseLines(hostCases)}

Cases of networks, on three hosts:
${caseLines(networkCases)}

Of the edge, on loopback; installs Chromium (about 100 MB):
${caseLines(browserCases)}

Examples:
  berth rehearse
  berth rehearse host-dies outage --minutes 2
  berth rehearse isolation spoofing healing
  berth rehearse browser
`;

interface Wish {
  readonly names: ReadonlySet<string>;
  readonly lengths: Lengths;
  readonly short: boolean;
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
  const unknown = positionals.filter((name) => !allCases.some((one) => one.name === name));
  if (unknown.length > 0)
    return { text: `there is no case ${unknown.join(", ")}: 'berth rehearse --help' lists them\n`, code: 2 };
  const minutes = Number(values.minutes);
  if (!(minutes >= 1 && minutes <= 60)) return { text: "--minutes takes a number from 1 to 60\n", code: 2 };
  const names = new Set(positionals.length === 0 ? allCases.map(({ name }) => name) : positionals);
  const full = { cutMs: 180_000, massLossMs: 60_000, outageMs: minutes * 60_000, pausesCount: 6 };
  return { names, lengths: values.short ? shortLengths : full, short: values.short, json: values.json };
}

type Say = (line: string) => void;

/** The pod of one kind of cases. */
interface Stage {
  readonly cases: readonly Titled[];
  start(): Promise<{ play(name: string): Promise<readonly Finding[]> }>;
  close(): Promise<void>;
}

async function rehearse(wish: Wish): Promise<number> {
  const { names, json } = wish;
  const say: Say = (line) => void (json ? process.stderr : process.stdout).write(`${line}\n`);
  const signal = interruptSignal(say);
  const played: Played[] = [];
  for (const stage of [hostStage(wish, say, signal), networkStage(wish, say), browserStage(say)]) {
    const cases = stage.cases.filter(({ name }) => names.has(name));
    if (cases.length === 0 || signal.aborted) continue;
    try {
      const { play } = await stage.start();
      for (const one of cases) if (!signal.aborted) played.push(await playOne(one, play, say));
    } finally {
      await stage.close();
    }
  }
  if (json) process.stdout.write(`${JSON.stringify({ cases: played }, null, 2)}\n`);
  say(table(played));
  const allKept = played.every(({ error, findings }) => error === null && findings.every(({ kept }) => kept));
  return allKept && played.length === names.size ? 0 : 1;
}

function hostStage({ lengths }: Wish, say: Say, signal: AbortSignal): Stage {
  let close = async (): Promise<void> => {};
  return {
    cases: hostCases,
    start: async () => {
      const stateDir = makeStateDir();
      close = () => removeHostPod(stateDir, say);
      const pod = await startHostPod({ stateDir, say, signal });
      close = async () => {
        await pod.close();
        await removeHostPod(stateDir, say);
      };
      return {
        play: async (name) => {
          await pod.reset();
          return (await hostCases.find((one) => one.name === name)?.run(pod, lengths)) ?? [];
        },
      };
    },
    close: () => close(),
  };
}

function networkStage({ short }: Wish, say: Say): Stage {
  let close = async (): Promise<void> => {};
  return {
    cases: networkCases,
    start: async () => {
      const stage = await startNetworkStage({ hosts: short ? 2 : 3, index: networkIndex, say });
      close = () => stage.lab.close();
      const length = short ? "short" : "full";
      return {
        play: async (name) => (await networkCases.find((one) => one.name === name)?.run(stage, length)) ?? [],
      };
    },
    close: () => close(),
  };
}

function browserStage(say: Say): Stage {
  let close = async (): Promise<void> => {};
  return {
    cases: browserCases,
    start: async () => {
      const stage = await startBrowserStage(say);
      close = stage.close;
      return { play: stage.play };
    },
    close: () => close(),
  };
}

async function playOne(
  { name, title }: Titled,
  play: (name: string) => Promise<readonly Finding[]>,
  say: Say,
): Promise<Played> {
  say(`\n── ${name}: ${title}`);
  try {
    return { case: name, findings: await play(name), error: null };
  } catch (error) {
    say(`   did not come to its end: ${String(error)}`);
    return { case: name, findings: [], error: String(error) };
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
