/**
 * `berth test [STAGE...]`: every check of the project, quickest first; stops at the first stage that fails.
 *
 *   check  types, format, lint (floating promises too)
 *   fast   unit, property and contract tests, house rules: no other process needed
 *   real   tests against real Docker, NATS, PostgreSQL, HAProxy, registry and git; installs what is missing
 *
 * The last line counts tests, in a form that programs can read.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

interface Stage {
  readonly name: string;
  readonly commands: readonly (readonly string[])[];
}

const scratch = mkdtempSync(join(tmpdir(), "berth-test-"));
const report = (name: string) => ["--reporter=default", "--reporter=json", `--outputFile.json=${join(scratch, `${name}.json`)}`];

const STAGES: readonly Stage[] = [
  {
    name: "check",
    commands: [
      ["tsc", "--noEmit"],
      ["biome", "check", "."],
      ["oxlint", "--type-aware", "--quiet"],
    ],
  },
  { name: "fast", commands: [["vitest", "run", ...report("fast")]] },
  {
    name: "real",
    commands: [
      ["node", "test/prepare.ts"],
      ["vitest", "run", "--config", "vitest.real.config.ts", ...report("real")],
    ],
  },
];

function runCommand(command: readonly string[]): Promise<number> {
  const [file, ...args] = command;
  return new Promise((resolve) => {
    const env = { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH ?? ""}` };
    const child = spawn(file ?? "", args, { cwd: root, env, stdio: "inherit" });
    child.on("error", (error) => {
      console.error(`${file}: ${error.message}`);
      resolve(1);
    });
    child.on("close", (code) => resolve(code ?? 1));
  });
}

/** Passed and failed tests of the stages that ran. */
function count(): { passed: number; failed: number } {
  const sum = { passed: 0, failed: 0 };
  for (const name of ["fast", "real"]) {
    try {
      const told = JSON.parse(readFileSync(join(scratch, `${name}.json`), "utf8")) as { numPassedTests: number; numFailedTests: number };
      sum.passed += told.numPassedTests;
      sum.failed += told.numFailedTests;
    } catch {
      // The stage did not get to its report.
    }
  }
  return sum;
}

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => !STAGES.some((stage) => stage.name === name));
  if (unknown.length > 0) {
    console.error(`berth test: unknown stage ${unknown.join(", ")}. Stages: ${STAGES.map((stage) => stage.name).join(", ")}`);
    return 2;
  }
  for (const stage of STAGES) {
    if (wanted.length > 0 && !wanted.includes(stage.name)) continue;
    for (const command of stage.commands) {
      const startedAtMs = performance.now();
      console.log(`── ${stage.name}: ${command.slice(0, 4).join(" ")}`);
      const code = await runCommand(command);
      console.log(`── ${stage.name}: ${code === 0 ? "ok" : `failed with ${code}`} after ${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`);
      if (code !== 0) return code;
    }
  }
  return 0;
}

const code = await main(process.argv.slice(2));
const { passed, failed } = count();
console.log(`${passed} passed, ${failed} failed`);
rmSync(scratch, { recursive: true, force: true });
process.exit(code);
