/** `berth orgs` and `berth environments`. */
import type { Command } from "commander";
import { parseEnvironment } from "../core/parse-remote.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, printTable, say } from "../output/print.ts";
import { table } from "../output/table.ts";
import { usageError } from "../session/cli-error.ts";
import { connect, resolveEnvironment } from "../session/context.ts";
import { readDefaultEnvironment, writeDefaultEnvironment } from "../session/credentials.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";

export function registerOrgCommands(program: Command): void {
  const orgs = program.command("orgs").description("customers: members, environments");
  examples(withJson(orgs.command("list")).description("your orgs").action(listOrgs), "berth orgs list");
  examples(
    withJson(orgs.command("create <name>"))
      .description("make an org that you own (operators)")
      .action(createOrg),
    "berth orgs create acme",
  );

  const environments = program
    .command("environments")
    .alias("envs")
    .description("isolated places for services");
  examples(
    withJson(environments.command("list"))
      .description("all environments of your orgs")
      .action(listEnvironments),
    "berth environments list",
  );
  examples(
    withJson(environments.command("create <org/name>"))
      .description("make an environment")
      .option("--pod <name>", "its jobs run on this pod's hosts only", "main")
      .action(createEnvironment),
    "berth environments create acme/production",
    "berth environments create acme/berlin --pod eu-2",
  );
  examples(
    environments
      .command("use <org/name>")
      .description("the default for all commands of this user")
      .action(useEnvironment),
    "berth environments use acme/production",
  );
}

async function listOrgs(flags: CommonFlags): Promise<void> {
  const reply = await (await connect()).call("listOrgs", {});
  if (flags.json === true) return printJson(reply);
  const columns = [
    { title: "ORG", cell: (org: (typeof reply.orgs)[number]) => clean(org.name) },
    { title: "ROLE", cell: (org: (typeof reply.orgs)[number]) => org.role },
    { title: "SINCE", cell: (org: (typeof reply.orgs)[number]) => org.createdAt.slice(0, 10) },
  ];
  printTable(
    table(columns, reply.orgs),
    "you are a member of no org; an operator can make one: berth orgs create NAME",
  );
}

async function createOrg(name: string, flags: CommonFlags): Promise<void> {
  const org = await (await connect()).call("createOrg", { body: { name } });
  if (flags.json === true) return printJson(org);
  say(`made the org ${org.name}; next: berth environments create ${org.name}/production`);
}

async function listEnvironments(flags: CommonFlags): Promise<void> {
  const reply = await (await connect()).call("listEnvironments", {});
  if (flags.json === true) return printJson(reply);
  const preset = await readDefaultEnvironment(process.env);
  type Environment = (typeof reply.environments)[number];
  const full = (environment: Environment) => `${environment.org}/${environment.name}`;
  const columns = [
    { title: "ENVIRONMENT", cell: (environment: Environment) => clean(full(environment)) },
    {
      title: "SERVICES",
      align: "right" as const,
      cell: (environment: Environment) => environment.servicesCount,
    },
    { title: "POD", cell: (environment: Environment) => environment.pod },
    { title: "SINCE", cell: (environment: Environment) => environment.createdAt.slice(0, 10) },
    { title: "", cell: (environment: Environment) => (full(environment) === preset ? "default" : "") },
  ];
  printTable(
    table(columns, reply.environments),
    "there is no environment yet; make one: berth environments create ORG/NAME",
  );
}

async function createEnvironment(address: string, flags: CommonFlags & { pod: string }): Promise<void> {
  const parsed = parseEnvironment(address);
  if (parsed === null || parsed.org === null)
    throw usageError(
      `${JSON.stringify(address)} is not ORG/NAME`,
      "Write it like acme/production: lower-case letters, digits and hyphens.",
    );
  const client = await connect();
  const made = await client.call("createEnvironment", {
    params: { org: parsed.org },
    body: { name: parsed.environment, pod: flags.pod },
  });
  if (flags.json === true) return printJson(made);
  say(`made ${made.org}/${made.name}; next: berth services create NAME --env ${made.org}/${made.name}`);
}

async function useEnvironment(address: string): Promise<void> {
  const client = await connect();
  const { org, environment } = await resolveEnvironment(client, address);
  await client.call("listServices", { params: { org, environment } }); // it exists, and is yours
  await writeDefaultEnvironment(process.env, `${org}/${environment}`);
  print(`${org}/${environment}`);
}
