/** `berth config check`: reads the app's configuration file as a push would, without a push. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { ReadAppFile } from "@berth/shared/kit/app-file.ts";
import { readAppFile } from "@berth/shared/kit/app-file.ts";
import { readAppJson } from "@berth/shared/kit/app-json.ts";
import { type ReadHerokuYml, readHerokuYml } from "@berth/shared/kit/heroku-yml.ts";
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
      .description("say whether berth.yaml (or app.json, heroku.yml) is right, as a push would")
      .action(check),
    "berth config check",
    "berth config check deploy/berth.yaml --json",
    "berth config check heroku.yml",
  );
}

async function check(file: string | undefined, flags: CommonFlags): Promise<void> {
  const path = file ?? "berth.yaml";
  const text = await read(path);
  const { result, notices } = readConfig(basename(path), text);
  if (flags.json === true) printJson(answer(path, { result, notices }));
  else for (const notice of notices) say(`${path}: ${clean(notice)}`);
  if (result.kind === "problems") {
    const lines = result.problems.map((one) => `${path}:${one.line}:${one.column}  ${one.text}`);
    throw new CliError(`${path} cannot be used:\n${lines.join("\n")}`, {
      next: "Correct it; docs/BERTH-YAML.md has every key with an example.",
    });
  }
  if (flags.json !== true) say(`${path} is right`);
}

interface ReadConfig {
  readonly result: ReadAppFile | ReadHerokuYml;
  readonly notices: readonly string[];
}

function readConfig(name: string, text: string): ReadConfig {
  if (name === "heroku.yml") return { result: readHerokuYml(text), notices: [] };
  return name.endsWith(".json") ? readAppJson(text) : { result: readAppFile(text), notices: [] };
}

function answer(file: string, { result, notices }: ReadConfig) {
  if (result.kind === "problems") return { file, ok: false, problems: result.problems, notices };
  const read = "wishes" in result ? result.wishes : { build: result.build };
  return { file, ok: true, problems: [], notices, ...read };
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
