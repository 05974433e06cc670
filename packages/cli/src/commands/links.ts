/** `berth links`: one port of a service, opened to another environment when both sides say so. */
import type { Command } from "commander";
import type { Answer } from "../client.ts";
import { parseForeignPort, parseServicePort, type ServicePort } from "../core/parse-link.ts";
import { clean } from "../output/clean.ts";
import { printJson, printTable, say } from "../output/print.ts";
import { withProgress } from "../output/progress.ts";
import { table } from "../output/table.ts";
import { usageError } from "../session/cli-error.ts";
import { connect, findEnvironment, resolveEnvironment } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";
import { sayHeld, WAITING } from "./say-held.ts";

export function registerLinkCommands(program: Command): void {
  const links = program
    .command("links")
    .description("ports of services, opened from one environment to another");
  examples(
    withEnv(links.command("list"))
      .description("what this environment offers, and what it accepts")
      .action(list),
    "berth links list --env acme/production",
  );
  examples(
    withEnv(links.command("offer <service:port> <org/environment>"))
      .description("offer a service's port to another environment; it must accept (owners)")
      .action(offer),
    "berth links offer ledger:8080 acme/reports --env acme/production",
  );
  examples(
    withEnv(links.command("accept <org/environment/service:port>"))
      .description("accept what another environment offers; prints the name to connect to (owners)")
      .action(accept),
    "berth links accept acme/production/ledger:8080 --env acme/reports",
  );
  examples(
    withEnv(links.command("rm <link> [org/environment]"))
      .description("take back an offer, or accept no longer: either side ends the link at once (owners)")
      .action(remove),
    "berth links rm ledger:8080 acme/reports --env acme/production     # the side that offers",
    "berth links rm acme/production/ledger:8080 --env acme/reports     # the side that accepts",
  );
}

type Links = Answer<"listLinks">;

async function list(flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const links = await client.call("listLinks", { params });
  if (flags.json === true) return printJson(links);
  const offers = [
    { title: "OFFERED", cell: (o: Links["offers"][number]) => clean(`${o.service}:${o.port}`) },
    { title: "TO", cell: (o: Links["offers"][number]) => clean(`${o.to.org}/${o.to.environment}`) },
    { title: "STATE", cell: (o: Links["offers"][number]) => o.state },
    { title: "SINCE", cell: (o: Links["offers"][number]) => o.since.slice(0, 10) },
  ];
  type Accepted = Links["accepted"][number];
  const accepted = [
    { title: "ACCEPTED", cell: (a: Accepted) => clean(`${a.org}/${a.environment}/${a.service}:${a.port}`) },
    { title: "CONNECT TO", cell: (a: Accepted) => clean(`${a.hostname}:${a.port}`) },
    { title: "STATE", cell: (a: Accepted) => a.state },
    { title: "SINCE", cell: (a: Accepted) => a.since.slice(0, 10) },
  ];
  if (links.offers.length + links.accepted.length === 0)
    return say("this environment has no links; see: berth links offer --help");
  if (links.offers.length > 0) printTable(table(offers, links.offers), "");
  if (links.accepted.length > 0) printTable(table(accepted, links.accepted), "");
}

async function offer(text: string, to: string, flags: EnvFlags): Promise<void> {
  const named = servicePort(text);
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const body = { ...named, to: await resolveEnvironment(client, to) };
  const reply = await withProgress(WAITING, client.call("offerLink", { params, body }));
  if (flags.json === true) return printJson(reply);
  const their = `${body.to.org}/${body.to.environment}`;
  if (reply.state === "standing") {
    say(`the link stands: ${their} reaches ${text}`);
    return sayHeld(reply.isHeld);
  }
  say(`offered to ${their}. Its side accepts with:`);
  say(`  berth links accept ${params.org}/${params.environment}/${text} --env ${their}`);
}

async function accept(text: string, flags: EnvFlags): Promise<void> {
  const body = foreignPort(text);
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const reply = await withProgress(WAITING, client.call("acceptLink", { params, body }));
  if (flags.json === true) return printJson(reply);
  const own = `${params.org}/${params.environment}`;
  if (reply.state === "waiting") {
    say(`accepted, and waiting for ${body.org}/${body.environment}. Its side offers with:`);
    say(`  berth links offer ${body.service}:${body.port} ${own} --env ${body.org}/${body.environment}`);
  } else say(`the link stands`);
  say(`containers of ${own} connect to ${clean(reply.hostname)}:${body.port}`);
  sayHeld(reply.isHeld);
}

async function remove(link: string, to: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const leaving =
    to === undefined
      ? client.call("leaveLink", { params, body: foreignPort(link) })
      : client.call("withdrawLink", {
          params,
          body: { ...servicePort(link), to: await resolveEnvironment(client, to) },
        });
  const reply = await withProgress(WAITING, leaving);
  if (flags.json === true) return printJson(reply);
  say("removed; what was open through it is cut");
  sayHeld(reply.isHeld);
}

function servicePort(text: string): ServicePort {
  const named = parseServicePort(text);
  if (named === null)
    throw usageError(
      `${JSON.stringify(text)} is not a service with a port`,
      "Write it as SERVICE:PORT, for example ledger:8080.",
    );
  return named;
}

function foreignPort(text: string) {
  const named = parseForeignPort(text);
  if (named === null)
    throw usageError(
      `${JSON.stringify(text)} is not another environment's service with a port`,
      "Write it as ORG/ENVIRONMENT/SERVICE:PORT, for example acme/production/ledger:8080; an offer of your own is removed with `berth links rm SERVICE:PORT ORG/ENVIRONMENT`.",
    );
  return named;
}
