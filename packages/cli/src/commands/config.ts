/** `berth config check`: reads the app's configuration file as a push would, without a push. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { ReadAppFile } from "@berth/shared/kit/app-file.ts";
import { readAppFile } from "@berth/shared/kit/app-file.ts";
import { readAppJson } from "@berth/shared/kit/app-json.ts";
import type { Command } from "commander";
import { clean } from "../output/clean.ts";
import { printJson, say } from "../output/print.ts";
import { CliError, EXIT } from "../session/cli-error.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";

export function registerConfigCommand(program: Command): void {
  const config = program.command("config").description("the app's own configuration file");
  examples(
    withJson(config.command("check [file]"))
      .description("say whether berth.yaml (or app.json) is right, as a push would")
      .action(check),
    "berth config check",
    "berth config check deploy/berth.yaml --json",
  );
}

async function check(file: string | undefined, flags: CommonFlags): Promise<void> {
  const path = file ?? "berth.yaml";
  const text = await read(path);
  const { result, notices } = basename(path).endsWith(".json")
    ? readAppJson(text)
    : { result: readAppFile(text), notices: [] };
  if (flags.json === true) printJson(answer(path, result, notices));
  else for (const notice of notices) say(`${path}: ${clean(notice)}`);
  if (result.kind === "problems") {
    const lines = result.problems.map((one) => `${path}:${one.line}:${one.column}  ${one.text}`);
    throw new CliError(`${path} cannot be used:\n${lines.join("\n")}`, {
      next: "Correct it; docs/BERTH-YAML.md has every key with an example.",
    });
  }
  if (flags.json !== true) say(`${path} is right`);
}

function answer(file: string, result: ReadAppFile, notices: readonly string[]) {
  return result.kind === "problems"
    ? { file, ok: false, problems: result.problems, notices }
    : { file, ok: true, problems: [], notices, ...result.wishes };
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new CliError(`${path} cannot be read: ${(cause as Error).message}`, {
      cause,
      exitCode: (cause as { code?: string }).code === "ENOENT" ? EXIT.notFound : EXIT.failed,
      next: "Name the file: berth config check FILE",
    });
  }
}
