/** `berth allow`: which source networks may reach an environment's services through the edges. */

import { SourceCidr } from "@berth/shared/domain/source-list.ts";
import { sleep } from "@berth/shared/kit/clock.ts";
import type { Command } from "commander";
import type { Answer, Client } from "../client.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, say } from "../output/print.ts";
import { withProgress } from "../output/progress.ts";
import { CliError, usageError } from "../session/cli-error.ts";
import { connect, type EnvironmentAddress, findEnvironment } from "../session/context.ts";
import type { CommonFlags, EnvFlags } from "./common.ts";
import { examples, withEnv, withJson } from "./common.ts";

interface SetFlags extends EnvFlags {
  readonly service?: string;
}

type Allow = Answer<"showAllow">;
const CONFIRM_MS = 60_000;
const LOOK_EVERY_MS = 200;

export function registerAllowCommands(program: Command): void {
  const allow = program.command("allow").description("who may reach the services, by source network");
  const service = "of this service alone, instead of the environment's";
  examples(
    withJson(allow.command("show [environment]"))
      .description("the lists, and whether every edge holds to them")
      .action(show),
    "berth allow show acme/production",
  );
  examples(
    withEnv(allow.command("set <networks...>"))
      .description("only these networks reach it; done when every edge holds to it (owners)")
      .option("-s, --service <name>", service)
      .action((networks: string[], flags: SetFlags) => change(networks.map(cidrOf), flags)),
    "berth allow set 203.0.113.0/24 198.51.100.7 --env acme/production",
    "berth allow set 203.0.113.7 --service admin --env acme/production",
  );
  examples(
    withEnv(allow.command("clear"))
      .description("everybody reaches it again; of a service: whom its environment's list allows (owners)")
      .option("-s, --service <name>", service)
      .action((flags: SetFlags) => change(null, flags)),
    "berth allow clear --service admin --env acme/production",
  );
}

async function show(address: string | undefined, flags: CommonFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, address);
  const allow = await client.call("showAllow", { params });
  if (flags.json === true) return printJson(allow);
  printAllow(params, allow);
}

async function change(sources: string[] | null, flags: SetFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const body = { sources };
  if (flags.service === undefined) await client.call("changeEnvironmentAllow", { params, body });
  else await client.call("changeServiceAllow", { params: { ...params, service: flags.service }, body });
  const allow = await withProgress("waiting for every edge to hold to it", untilEnforced(client, params));
  if (flags.json === true) return printJson(allow);
  printAllow(params, allow);
}

/** @throws CliError with the hosts that did not confirm in time */
async function untilEnforced(client: Client, params: EnvironmentAddress): Promise<Allow> {
  const deadline = performance.now() + CONFIRM_MS;
  for (;;) {
    const allow = await client.call("showAllow", { params });
    if (allow.enforced) return allow;
    if (performance.now() > deadline)
      throw new CliError(
        `stored, but not confirmed within ${CONFIRM_MS / 1000} s by ${allow.waitingFor.join(", ") || "the router"}`,
        { next: "It follows by itself; look with `berth allow show` and `berth hosts list`." },
      );
    await sleep(LOOK_EVERY_MS);
  }
}

function printAllow({ org, environment }: EnvironmentAddress, allow: Allow): void {
  const list = (sources: readonly string[] | null) => (sources === null ? "everybody" : sources.join(" "));
  print(`${clean(org)}/${clean(environment)}  ${list(allow.sources)}`);
  for (const { service, sources } of allow.services) print(`  ${clean(service)}  ${list(sources)}`);
  const waiting = allow.waitingFor.map(clean).join(", ") || "the router";
  say(allow.enforced ? "every edge holds to it" : `not yet everywhere: waiting for ${waiting}`);
}

function cidrOf(text: string): string {
  const parsed = SourceCidr.safeParse(text);
  if (!parsed.success)
    throw usageError(
      `${JSON.stringify(text)} is not a network`,
      "Write it as 203.0.113.0/24, or one address as 203.0.113.7.",
    );
  return parsed.data;
}
