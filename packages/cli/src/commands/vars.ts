/** `berth vars`: configuration and secrets of a service. Values go in; only names come out. */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { ServiceName } from "@berth/shared/domain/names.ts";
import type { Command } from "commander";
import type { Answer } from "../client.ts";
import type { Variables } from "../core/parse-vars.ts";
import { parseAssignment, parseVarsFile, VarsError } from "../core/parse-vars.ts";
import { clean } from "../output/clean.ts";
import { printJson, printTable, say } from "../output/print.ts";
import { age, table } from "../output/table.ts";
import { usageError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";

export function registerVarsCommands(program: Command): void {
  const vars = program.command("vars").description("configuration and secrets of a service");
  examples(
    withEnv(vars.command("set [service] [name=value...]"))
      .description("set variables; running processes are replaced by ones that have them")
      .option(
        "-f, --file <file>",
        "read them from a .json, .yaml or .env file; - is standard input, read as .env",
      )
      .action(setVars),
    "berth vars set shop GREETING=hello",
    "berth vars set shop -f production.env",
    "berth vars set shop -f - < secrets.env     # keeps values out of the shell's history",
  );
  examples(
    withEnv(vars.command("list [service]")).description("names, never values").action(listVars),
    "berth vars list shop",
  );
  examples(
    withEnv(vars.command("unset [service] [name...]"))
      .description("remove variables; the service is told by its lower-case name")
      .action(unsetVars),
    "berth vars unset shop GREETING",
    "berth vars unset GREETING     # inside the service's git repository",
  );
}

async function setVars(
  first: string | undefined,
  rest: readonly string[],
  flags: EnvFlags & { file?: string },
): Promise<void> {
  const words = first === undefined ? [] : [first, ...rest];
  const [name, ...assignments] = words[0]?.includes("=") === true ? [undefined, ...words] : words;
  const set: Variables = { ...(flags.file === undefined ? {} : await readVarsFile(flags.file)) };
  for (const word of assignments) {
    const [key, value] = orUsage("the command line", () => parseAssignment(word ?? ""));
    set[key] = value;
  }
  if (Object.keys(set).length === 0)
    throw usageError("there is nothing to set", "Name them: berth vars set SERVICE NAME=value, or -f FILE.");
  await change(name, flags, { set });
}

async function readVarsFile(path: string): Promise<Variables> {
  const content =
    path === "-"
      ? await text(process.stdin)
      : await readFile(path, "utf8").catch((error: Error) => {
          throw usageError(`${path} cannot be read: ${error.message}`);
        });
  return orUsage(path, () => parseVarsFile(path, content));
}

/** Errors name the place, never a value. */
function orUsage<T>(where: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof VarsError)
      throw usageError(`${where}: ${error.message}`, "See `berth vars set --help`.");
    throw error;
  }
}

async function unsetVars(first: string | undefined, rest: readonly string[], flags: EnvFlags): Promise<void> {
  const words = first === undefined ? [] : [first, ...rest];
  const named = words[0] !== undefined && ServiceName.safeParse(words[0]).success;
  const unset = named ? words.slice(1) : words;
  if (unset.length === 0) throw usageError("which variables?", "berth vars unset SERVICE NAME...");
  await change(named ? words[0] : undefined, flags, { unset });
}

async function change(
  name: string | undefined,
  flags: EnvFlags,
  body: { set?: Variables; unset?: string[] },
): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("changeVars", { params, body });
  if (flags.json === true) return printJson(reply);
  const names = [...Object.keys(body.set ?? {}), ...(body.unset ?? [])].map(clean).join(", ");
  say(`${params.service} has version ${reply.version} of its variables (${names})`);
  if (reply.deployId === null) say("they take effect with the first deploy");
  else say(`running processes are being replaced; follow it with: berth deploys watch ${reply.deployId}`);
}

async function listVars(name: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("listVars", { params });
  if (flags.json === true) return printJson(reply);
  type Info = Answer<"listVars">["variables"][number];
  const nowMs = Date.now();
  const columns = [
    { title: "NAME", cell: (info: Info) => clean(info.name) },
    { title: "FINGERPRINT", cell: (info: Info) => clean(info.fingerprint) },
    { title: "SET", align: "right" as const, cell: (info: Info) => age(info.setAtMs, nowMs) },
    { title: "BY", cell: (info: Info) => clean(info.setBy) },
  ];
  printTable(
    table(columns, reply.variables),
    `${params.service} has no variables; set one: berth vars set ${params.service} NAME=value`,
  );
}
