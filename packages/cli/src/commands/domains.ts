/** `berth domains`: a service's own domains, from the claim to every edge serving them. */
import { setTimeout as delay } from "node:timers/promises";
import type { Domain } from "@berth/shared/contracts/http/domains.ts";
import { type Command, Option } from "commander";
import { ApiError, type Client } from "../client.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, printLines, printTable, say } from "../output/print.ts";
import { withProgress } from "../output/progress.ts";
import { table } from "../output/table.ts";
import { CliError, usageError } from "../session/cli-error.ts";
import { connect, findEnvironment, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";

type Service = Awaited<ReturnType<typeof findService>>;

const LOOK_MS = 200;
const ROUTED_WAIT_MS = 30_000;
const PROOF_LOOK_MS = 5000;
const PROOF_WAIT_MS = 600_000;

export function registerDomainCommands(program: Command): void {
  const domains = program.command("domains").description("a service's own domains");
  examples(
    withEnv(domains.command("add <service> <domain>"))
      .description("claim a domain; prints the TXT record that proves it is yours")
      .action(add),
    "berth domains add shop www.example.com",
    "berth domains add shop '*.shop.example.com' --env acme/production",
  );
  examples(
    withEnv(domains.command("list [service]", { isDefault: true }))
      .description("the domains of the environment, or of one service")
      .action(list),
    "berth domains list",
  );
  examples(
    withEnv(domains.command("show <service> <domain>"))
      .description("its record, whether it is proved, and whether every edge serves it")
      .action(show),
    "berth domains show shop www.example.com",
  );
  examples(
    withEnv(domains.command("verify <service> <domain>"))
      .description("look for the record now; once it is there, wait until every edge serves the domain")
      .option("-w, --wait", "look again every 5 s, for ten minutes: DNS takes its time")
      .action(verify),
    "berth domains verify shop www.example.com --wait",
  );
  examples(
    withEnv(domains.command("set <service> <domain>"))
      .description("how it is served")
      .addOption(new Option("--https-only <on|off>", "lead plain HTTP to HTTPS").choices(["on", "off"]))
      .option("--hsts <seconds|off>", "tell browsers to use HTTPS alone for so long")
      .action(change),
    "berth domains set shop www.example.com --https-only on --hsts 31536000",
    "berth domains set shop www.example.com --hsts off",
  );
  examples(
    withEnv(domains.command("rm <service> <domain>"))
      .description("release it (owners); for a while only your org may take it again")
      .action(remove),
    "berth domains rm shop www.example.com",
  );
}

async function add(service: string, name: string, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findService(client, service, flags.env);
  const domain = await client.call("addDomain", { params, body: { name } });
  if (flags.json === true) return printJson(domain);
  printDomain(domain);
  if (domain.state === "verified") return;
  say(`Add this record to the zone of the domain, then run:`);
  say(`  berth domains verify ${params.service} '${clean(domain.name)}' --wait`);
}

async function list(service: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const reply = await client.call("listDomains", { params });
  const domains = reply.domains.filter((domain) => service === undefined || domain.service === service);
  if (flags.json === true) return printJson({ domains });
  const columns = [
    { title: "DOMAIN", cell: (one: Domain) => clean(one.name) },
    { title: "SERVICE", cell: (one: Domain) => clean(one.service) },
    { title: "STATE", cell: stateOf },
  ];
  printTable(table(columns, domains), "there are no domains; add one with `berth domains add`");
}

async function show(service: string, domain: string, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = { ...(await findService(client, service, flags.env)), domain };
  const shown = await client.call("showDomain", { params });
  if (flags.json === true) printJson(shown);
  else printDomain(shown);
}

async function verify(service: string, domain: string, flags: EnvFlags & { wait?: boolean }): Promise<void> {
  const client = await connect();
  const params = { ...(await findService(client, service, flags.env)), domain };
  const waitMs = flags.wait === true ? PROOF_WAIT_MS : 0;
  await withProgress("looking for the TXT record", untilProved(client, params, waitMs));
  const shown = await withProgress("telling every edge", untilRouted(client, params));
  if (flags.json === true) printJson(shown);
  else if (shown.routed) say(`every edge serves ${clean(shown.name)} for ${params.service}`);
  if (!shown.routed)
    throw new CliError(
      `some edge has not taken it up after ${ROUTED_WAIT_MS / 1000} s; it will when it can`,
      {
        next: `Look again: berth domains show ${params.service} '${clean(shown.name)}'`,
      },
    );
}

async function untilProved(
  client: Client,
  params: Service & { domain: string },
  waitMs: number,
): Promise<Domain> {
  const deadlineMs = performance.now() + waitMs;
  for (;;) {
    try {
      return await client.call("verifyDomain", { params });
    } catch (error) {
      const again = error instanceof ApiError && error.body.code === "domain-not-proved";
      if (!again || performance.now() >= deadlineMs) throw error;
    }
    await delay(PROOF_LOOK_MS);
  }
}

async function untilRouted(client: Client, params: Service & { domain: string }): Promise<Domain> {
  const deadlineMs = performance.now() + ROUTED_WAIT_MS;
  for (;;) {
    const domain = await client.call("showDomain", { params });
    if (domain.routed || performance.now() >= deadlineMs) return domain;
    await delay(LOOK_MS);
  }
}

interface SetFlags extends EnvFlags {
  readonly httpsOnly?: string;
  readonly hsts?: string;
}

async function change(
  service: string,
  domain: string,
  { httpsOnly, hsts, env, json }: SetFlags,
): Promise<void> {
  if (httpsOnly === undefined && hsts === undefined)
    throw usageError("there is nothing to set", "Add --https-only on|off or --hsts SECONDS|off.");
  if (hsts !== undefined && hsts !== "off" && !/^\d{1,8}$/.test(hsts))
    throw usageError(
      `${JSON.stringify(hsts)} is no number of seconds`,
      "Write --hsts 31536000, or --hsts off.",
    );
  const client = await connect();
  const params = { ...(await findService(client, service, env)), domain };
  const body = {
    ...(httpsOnly === undefined ? {} : { httpsOnly: httpsOnly === "on" }),
    ...(hsts === undefined ? {} : { hstsSeconds: hsts === "off" ? null : Number(hsts) }),
  };
  const changed = await client.call("changeDomain", { params, body });
  if (json === true) printJson(changed);
  else printDomain(changed);
}

async function remove(service: string, domain: string, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = { ...(await findService(client, service, flags.env)), domain };
  const reply = await client.call("removeDomain", { params });
  if (flags.json === true) printJson(reply);
  else say(`${clean(domain)} is released; the edges follow within a second or two`);
}

function printDomain(domain: Domain): void {
  print(`${clean(domain.name)} of ${clean(domain.service)}: ${stateOf(domain)}`);
  const { name, value } = domain.record;
  const { certificate, httpsOnly, hstsSeconds, orderProblem, proofProblem } = domain;
  const served = [
    `  HTTPS  ${certificate === null ? "no certificate: plain HTTP only" : `with ${certificate}`}`,
    `  HTTP   ${httpsOnly && certificate !== null ? "is led to HTTPS" : "is served"}`,
    ...(orderProblem === null ? [] : [`  the last order of a certificate failed: ${clean(orderProblem)}`]),
    ...(proofProblem === null
      ? []
      : [
          `  since ${proofProblem.since} ${clean(proofProblem.text)}: put it back, or the domain is released`,
          `  ${name}.  TXT  "${value}"`,
        ]),
    ...(hstsSeconds === null ? [] : [`  HSTS   ${hstsSeconds} s`]),
  ];
  printLines(domain.state === "pending" ? [`  ${name}.  TXT  "${value}"`] : served);
}

function stateOf({ state, routed, proofProblem }: Domain): string {
  if (state === "pending") return "waits for its TXT record";
  if (proofProblem !== null) return "its TXT record is missing";
  return routed ? "served by every edge" : "proved; not every edge serves it yet";
}
