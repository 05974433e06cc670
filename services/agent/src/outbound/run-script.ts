/**
 * Runs several programs one after the other from one shell. Starting a program from a process with much memory is dear, from
 * a small shell it is not. What is run and what it is given go in by standard input: nobody else of the machine reads it.
 */
import { randomBytes } from "node:crypto";
import { CommandError, type CommandOptions, runCommand } from "./run-command.ts";

export interface ScriptLine {
  readonly argv: readonly string[];
  /** Its standard input; none is an empty one. */
  readonly input?: string;
}

export interface Ran {
  readonly exitCode: number;
  /** What it printed on stdout. */
  readonly out: string;
}

/**
 * @param prefix put before the shell, such as `nsenter --net=…`
 * @returns one answer per line, in their order; one that fails holds up no other
 * @throws CommandError when the shell itself did not end in time
 */
export async function runScript(
  prefix: readonly string[],
  lines: readonly ScriptLine[],
  options: Omit<CommandOptions, "input"> = {},
): Promise<Ran[]> {
  const mark = randomBytes(12).toString("hex");
  const out = await runCommand([...prefix, "sh", "-s"], { ...options, input: scriptText(lines, mark) });
  const answers = [...out.matchAll(new RegExp(`([^]*?)\n${mark} (\\d+)\n`, "g"))];
  if (answers.length !== lines.length)
    throw new CommandError(`${answers.length} of ${lines.length} programs of a script answered`, null);
  return answers.map(([, text = "", code]) => ({ out: text, exitCode: Number(code) }));
}

/** @throws CommandError when it failed */
export function outputOf({ argv }: ScriptLine, { exitCode, out }: Ran): string {
  if (exitCode !== 0)
    throw new CommandError(
      `${argv.slice(0, 4).join(" ")} ended with ${exitCode}: ${out.trim().slice(0, 500)}`,
      exitCode,
    );
  return out;
}

function scriptText(lines: readonly ScriptLine[], mark: string): string {
  return lines
    .map(({ argv, input }) => {
      const command = argv.map(quoted).join(" ");
      const given = input === undefined ? `${command} </dev/null` : `printf %s ${quoted(input)} | ${command}`;
      return `${given}\nprintf '\\n${mark} %d\\n' $?\n`;
    })
    .join("");
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
