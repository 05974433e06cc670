/** Where output goes: results to stdout, everything said along the way to stderr; colours only on a terminal. */
import pc from "picocolors";
import type { CliError } from "../session/cli-error.ts";
import { clean, cleanJson } from "./clean.ts";

const outColours = pc.createColors(process.stdout.isTTY === true && pc.isColorSupported);
const errColours = pc.createColors(process.stderr.isTTY === true && pc.isColorSupported);

export const colours = outColours;

export function print(line = ""): void {
  process.stdout.write(`${line}\n`);
}

export function printLines(lines: readonly string[]): void {
  if (lines.length > 0) process.stdout.write(`${lines.join("\n")}\n`);
}

/** A table with a bold heading, or a sentence when it would be empty. */
export function printTable(lines: readonly string[], whenEmpty: string): void {
  const [heading, ...rows] = lines;
  if (rows.length === 0) say(whenEmpty);
  else printLines([outColours.bold(heading ?? ""), ...rows]);
}

/** Exactly the API's data. */
export function printJson(value: unknown): void {
  print(cleanJson(value, 2));
}

/** One object per line, for streams. */
export function printJsonLine(value: unknown): void {
  print(cleanJson(value));
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function printError(error: CliError): void {
  say(`${errColours.red("error:")} ${error.message.split("\n").map(clean).join("\n")}`);
  if (error.next !== null) say(`${errColours.dim("next:")}  ${clean(error.next)}`);
}
