/**
 * `berth test [STAGE...]`: every check of the project, quickest first; stops at the first stage that fails.
 *
 *   check  types, format, lint (floating promises too)
 *   fast   unit, property and contract tests, house rules: no other process needed
 *   real   tests against real Docker, NATS, PostgreSQL, HAProxy, registry and git; installs what is missing
 *
 * A real test file that fails is run once more, alone: one that fails twice fails the run, one that passes then is named
 * as unsteady in the last lines.
 *
 * What is slow to make (the stack image, the lab hosts' root file system, nats-server) is made once for all tests and
 * kept in BERTH_TEST_CACHE_DIR. The last line counts tests, in a form that programs can read.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const root = join(import.meta.dirname, "..");

interface Stage {
  readonly name: string;
  readonly commands: readonly (readonly string[])[];
}

const scratch = mkdtempSync(join(tmpdir(), "berth-test-"));
const report = (name: string) => [
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${join(scratch, `${name}.json`)}`,
];

const STAGES: readonly Stage[] = [
  {
    name: "check",
    commands: [
      ["tsc", "--noEmit"],
      ["biome", "check", "."],
      ["oxlint", "--type-aware", "--quiet"],
    ],
  },
  {
    name: "fast",
    commands: [
      ["node", "test/prepare.ts", "git"],
      ["vitest", "run", ...report("fast")],
    ],
  },
  {
    name: "real",
    commands: [
      ["node", "test/prepare.ts"],
      ["vitest", "run", "--config", "vitest.real.config.ts", ...report("real")],
    ],
  },
];

const cacheDir = process.env.BERTH_TEST_CACHE_DIR ?? join(tmpdir(), "berth-test-cache");

function environment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH ?? ""}`,
    BERTH_CACHE_DIR: cacheDir,
    BERTH_TEST_CACHE: cacheDir,
    ...(process.stdout.isTTY ? {} : { NO_COLOR: "1" }),
  };
}

function runCommand(command: readonly string[]): Promise<number> {
  const [file, ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(file ?? "", args, { cwd: root, env: environment(), stdio: "inherit" });
    child.on("error", (error) => {
      console.error(`${file}: ${error.message}`);
      resolve(1);
    });
    child.on("close", (code) => resolve(code ?? 1));
  });
}

interface Report {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly FileReport[];
}

interface FileReport {
  readonly name: string;
  readonly startTime: number;
  readonly endTime: number;
  readonly status: string;
  readonly assertionResults: readonly { status: string }[];
}

/** Report of the files that were run a second time. */
const AGAIN = "real-again";
/** Files that failed first and passed then. */
const unsteady: string[] = [];

/** Null when the stage did not get to its report. */
function readReport(name: string): Report | null {
  try {
    return JSON.parse(readFileSync(join(scratch, `${name}.json`), "utf8")) as Report;
  } catch {
    return null;
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1).padStart(7)} s`;

/** Where the time of the real tests went, slowest file first. */
function printFileTimes(report: Report): void {
  const files = report.testResults.map((file) => ({ ...file, tookMs: file.endTime - file.startTime }));
  for (const { name, status, tookMs } of files.sort((a, b) => b.tookMs - a.tookMs))
    console.log(`   ${seconds(tookMs)}  ${status}  ${relative(root, name)}`);
}

/** @returns the code of the first command that failed, after telling how long each stage took */
async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => !STAGES.some((stage) => stage.name === name));
  if (unknown.length > 0) {
    const known = STAGES.map((stage) => stage.name).join(", ");
    console.error(`berth test: unknown stage ${unknown.join(", ")}. Stages: ${known}`);
    return 2;
  }
  const times: string[] = [];
  let code = 0;
  for (const stage of STAGES.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const startedAtMs = performance.now();
    code = await runStage(stage);
    times.push(`${seconds(performance.now() - startedAtMs)}  ${stage.name}${code === 0 ? "" : " (failed)"}`);
    if (code !== 0) break;
  }
  const real = readReport("real");
  if (real !== null) {
    console.log("── real test files");
    printFileTimes(real);
  }
  console.log(`── stages\n${times.map((line) => `   ${line}`).join("\n")}`);
  return code;
}

async function runStage(stage: Stage): Promise<number> {
  for (const command of stage.commands) {
    const startedAtMs = performance.now();
    console.log(`── ${stage.name}: ${command.slice(0, 4).join(" ")}`);
    const code = (await runCommand(command)) || failureOf(stage.name, command);
    const result = code === 0 ? "ok" : `failed with ${code}`;
    console.log(`── ${stage.name}: ${result} after ${seconds(performance.now() - startedAtMs).trim()}`);
    if (code === 0) continue;
    if (stage.name !== "real" || command[0] !== "vitest") return code;
    return runFailedAgain(stage);
  }
  return 0;
}

/** More failed files than this are no accident of timing. */
const MOST_RUN_AGAIN = 2;

/** @returns 0 when every failed file of the real tests passed in a second run of its own */
async function runFailedAgain(stage: Stage): Promise<number> {
  const first = readReport(stage.name);
  const failed = (first?.testResults ?? [])
    .filter(({ status }) => status === "failed")
    .map(({ name }) => name);
  if (first === null || failed.length === 0 || failed.length > MOST_RUN_AGAIN) return 1;
  const command = stage.commands.at(-1)?.slice(0, 4) ?? [];
  console.log(`── ${stage.name}: once more: ${failed.map((name) => relative(root, name)).join(", ")}`);
  await runCommand([...command, ...report(AGAIN), ...failed]);
  const again = readReport(AGAIN);
  if (again?.success !== true || again.testResults.length !== failed.length) return 1;
  unsteady.push(...failed.map((name) => relative(root, name)));
  return 0;
}

/** A test runner's exit code is believed only together with its report: a library may have changed the code. */
function failureOf(stage: string, command: readonly string[]): number {
  if (command[0] !== "vitest") return 0;
  const told = readReport(stage);
  return told?.success === true && told.numFailedTests === 0 && told.numPassedTests > 0 ? 0 : 1;
}

/** Passed and failed tests of the stages that ran; a file that was run once more counts as it ended. */
function count(): { passed: number; failed: number } {
  const again = new Map(readReport(AGAIN)?.testResults.map((file) => [file.name, file]));
  const files = ["fast", "real"].flatMap((name) => readReport(name)?.testResults ?? []);
  const tests = files.flatMap((file) => (again.get(file.name) ?? file).assertionResults);
  return {
    passed: tests.filter(({ status }) => status === "passed").length,
    failed: tests.filter(({ status }) => status === "failed").length,
  };
}

const code = await main(process.argv.slice(2));
const { passed, failed } = count();
for (const name of unsteady) console.log(`unsteady: ${name} failed first and passed when run again`);
console.log(`${passed} passed, ${failed} failed`);
rmSync(scratch, { recursive: true, force: true });
process.exit(code);
