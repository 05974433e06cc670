/**
 * `berth test [STAGE...]`: every check of the project, quickest first; stops at the first stage that fails.
 *
 *   check  types, format, lint (floating promises too)
 *   fast   unit, property and contract tests, house rules: no other process needed
 *   real   tests against real Docker, NATS, PostgreSQL, HAProxy, registry and git; installs what is missing
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
  readonly testResults: readonly { name: string; startTime: number; endTime: number; status: string }[];
}

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
    if (code !== 0) return code;
  }
  return 0;
}

/** A test runner's exit code is believed only together with its report: a library may have changed the code. */
function failureOf(stage: string, command: readonly string[]): number {
  if (command[0] !== "vitest") return 0;
  const told = readReport(stage);
  return told?.success === true && told.numFailedTests === 0 && told.numPassedTests > 0 ? 0 : 1;
}

/** Passed and failed tests of the stages that ran. */
function count(): { passed: number; failed: number } {
  const reports = [readReport("fast"), readReport("real")].filter((report) => report !== null);
  return {
    passed: reports.reduce((sum, report) => sum + report.numPassedTests, 0),
    failed: reports.reduce((sum, report) => sum + report.numFailedTests, 0),
  };
}

const code = await main(process.argv.slice(2));
const { passed, failed } = count();
console.log(`${passed} passed, ${failed} failed`);
rmSync(scratch, { recursive: true, force: true });
process.exit(code);
