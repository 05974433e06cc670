/** `berth test | bench | demo | sim | rehearse`: thin starts of what lies in `test` and `infra`. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { CliError, usageError } from "../session/cli-error.ts";
import { examples } from "./common.ts";

const ROOT = resolve(import.meta.dirname, "../../../..");

export function registerDevCommands(program: Command): void {
  examples(
    passing(program.command("demo"))
      .description("from nothing to a running app on this machine; the last line is its URL")
      .action((words: string[]) => run("infra/src/demo.ts", words)),
    "berth demo",
  );
  examples(
    passing(program.command("test"))
      .description("the project's tests")
      .action((words: string[]) => run("test/run.ts", words)),
    "berth test",
    "berth test e2e",
  );
  examples(
    passing(program.command("bench <name>"))
      .description(`one of the benchmarks in test/bench: ${benchNames().join(", ")}`)
      .action((name: string, words: string[]) => run(benchFile(name), words)),
    "berth bench push-live",
    "berth bench place --pairs 3 --only P1,P2",
    "berth bench scale --replicas 90 --rounds 3",
  );
  examples(
    passing(program.command("sim"))
      .description("the simulator: scheduler and agents under every fault, by seed")
      .action((words: string[]) => run("test/sim/run.ts", words)),
    "berth sim --seeds 10000",
    "berth sim --seeds 600 --without leader-fence",
  );
  examples(
    passing(program.command("rehearse"))
      .description(
        "lost hosts, cuts, outages, attacks on networks, a real browser: played on labs and judged against the promises",
      )
      .action((words: string[]) => run("test/hosts/rehearse.ts", words)),
    "berth rehearse",
    "berth rehearse host-dies outage --minutes 2",
    "berth rehearse isolation spoofing healing",
    "berth rehearse browser",
  );
}

/** Everything after the name belongs to the program that is started. */
function passing(command: Command): Command {
  return command.argument("[arguments...]").allowUnknownOption().helpOption("-h, --help");
}

function benchNames(): string[] {
  const folder = join(ROOT, "test/bench");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => /^[a-z0-9-]+\.ts$/.test(file) && !file.endsWith(".test.ts"))
    .map((file) => file.slice(0, -3))
    .sort();
}

function benchFile(name: string): string {
  const known = benchNames();
  if (!known.includes(name))
    throw usageError(
      `there is no benchmark ${JSON.stringify(name)}`,
      known.length === 0 ? "test/bench is empty." : `There are: ${known.join(", ")}.`,
    );
  return `test/bench/${name}.ts`;
}

async function run(file: string, words: readonly string[]): Promise<void> {
  const path = join(ROOT, file);
  if (!existsSync(path)) throw new CliError(`${file} is missing`, { next: "Use a whole checkout of Berth." });
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", path, ...words], {
    stdio: "inherit",
    cwd: ROOT,
  });
  const forward = (signal: NodeJS.Signals) => void child.kill(signal);
  process.on("SIGINT", () => undefined); // the terminal sends it to the child too
  process.on("SIGTERM", forward);
  process.exitCode = await new Promise<number>((done, failed) => {
    child.once("error", failed);
    child.once("exit", (code, signal) =>
      done(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}
