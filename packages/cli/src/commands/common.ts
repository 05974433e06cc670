/** What the commands share: the common options, and how a group is made. */
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";

export interface CommonFlags {
  readonly json?: boolean;
}
export interface EnvFlags extends CommonFlags {
  readonly env?: string;
}

export function withJson(command: Command): Command {
  return command.option("--json", "print exactly the API's data as JSON");
}

export function withEnv(command: Command): Command {
  return withJson(command).option("-e, --env <org/environment>", "the environment (or BERTH_ENV)");
}

export function examples(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`);
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(`a whole number from ${min} to ${max} is needed.`);
    return value;
  };
}
