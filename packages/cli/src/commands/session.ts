/** `berth login | logout | whoami`, and the git credential helper. */
import { text } from "node:stream/consumers";
import { isCancel, password } from "@clack/prompts";
import type { Command } from "commander";
import { Client } from "../client.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, say } from "../output/print.ts";
import { CliError, usageError } from "../session/cli-error.ts";
import { connect } from "../session/context.ts";
import { credentialsFile, readSession, removeCredentials, writeCredentials } from "../session/credentials.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";

export function registerSessionCommands(program: Command): void {
  examples(
    withJson(program.command("login"))
      .description("log in to a pod with a token")
      .option("--api <url>", "address of the pod's API (or BERTH_API)")
      .option("--token <token>", "the token; without it you are asked, or it is read from standard input")
      .action(login),
    "berth login --api https://api.example.org",
    "berth login < token.txt",
  );
  program
    .command("logout")
    .description("forget the stored token")
    .action(async () => {
      const removed = await removeCredentials(process.env);
      say(removed ? "logged out; the token itself is still valid" : "you were not logged in");
    });
  examples(
    withJson(program.command("whoami")).description("who the token belongs to, and the orgs").action(whoami),
    "berth whoami --json",
  );
  program
    .command("git-credential <operation>", { hidden: true })
    .description("answers git's question for the token; configured by `berth git-remote add`")
    .action(gitCredential);
}

async function login(flags: CommonFlags & { api?: string; token?: string }): Promise<void> {
  const apiUrl = checkedUrl(flags.api ?? (await readSession(process.env)).apiUrl);
  const token = (flags.token || process.env.BERTH_TOKEN || (await askToken(apiUrl))).trim();
  if (!/^berth_[0-9a-f]{40}$/.test(token))
    throw usageError(
      "that is not a token: a token is `berth_` and 40 hexadecimal digits",
      "Ask the operator of the pod for one.",
    );
  const who = await new Client({ apiUrl, token }).call("getWhoAmI", {});
  await writeCredentials(process.env, { apiUrl, token });
  if (flags.json === true) printJson(who);
  else say(`logged in to ${apiUrl} as ${clean(who.email)} (${credentialsFile(process.env)})`);
}

function checkedUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !["http:", "https:"].includes(parsed.protocol))
    throw usageError(`${JSON.stringify(url)} is not an address`, "Write it like https://api.example.org");
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(parsed.hostname);
  if (parsed.protocol === "http:" && !local)
    say("warning: this address is not encrypted; the token can be read on the way");
  return url.replace(/\/+$/, "");
}

async function askToken(apiUrl: string): Promise<string> {
  if (process.stdin.isTTY !== true) return text(process.stdin);
  const answer = await password({ message: `Token for ${apiUrl}` });
  if (isCancel(answer)) throw new CliError("nothing was changed");
  return answer;
}

async function whoami(flags: CommonFlags): Promise<void> {
  const client = await connect();
  const who = await client.call("getWhoAmI", {});
  if (flags.json === true) return printJson(who);
  print(`${clean(who.email)}${who.isOperator ? ", operator of the pod" : ""}`);
  print(
    `token  ${clean(who.tokenName)}, ${who.tokenExpiresAt === null ? "does not expire" : `expires ${who.tokenExpiresAt}`}`,
  );
  print(`api    ${client.apiUrl}`);
  for (const org of who.orgs) print(`org    ${clean(org.name)}, ${org.role}`);
}

/** git asks on standard input and reads `username=` and `password=`; anything but `get` is not for us. */
async function gitCredential(operation: string): Promise<void> {
  if (operation !== "get") return;
  await text(process.stdin);
  const { token } = await readSession(process.env);
  if (token === null) {
    say("berth: you are not logged in; run `berth login`");
    process.stdout.write("quit=1\n");
    return;
  }
  process.stdout.write(`username=berth\npassword=${token}\n`);
}
