/** `berth egress`: where an environment's containers may connect to. */
import {
  type EgressPolicy,
  type EgressRule,
  formatEgressRule,
  parseEgressRule,
} from "@berth/shared/domain/egress-policy.ts";
import { Argument, type Command } from "commander";
import { parseEnvironment } from "../core/parse-remote.ts";
import { clean } from "../output/clean.ts";
import { printJson, printLines, say } from "../output/print.ts";
import { withProgress } from "../output/progress.ts";
import { usageError } from "../session/cli-error.ts";
import { connect, findEnvironment } from "../session/context.ts";
import type { CommonFlags, EnvFlags } from "./common.ts";
import { examples, withEnv, withJson } from "./common.ts";
import { sayHeld, WAITING } from "./say-held.ts";

const MEANING = {
  open: "open: the internet",
  none: "none: nothing outside of the environment, and no outside names",
  list: "list: nothing but",
};

export function registerEgressCommands(program: Command): void {
  const egress = program.command("egress").description("where an environment's containers may connect to");
  examples(
    withJson(egress.command("show [environment]")).description("the policy").action(show),
    "berth egress show acme/production",
  );
  examples(
    withEnv(egress.command("set"))
      .addArgument(new Argument("<mode>").choices(["open", "none", "list"]))
      .argument("[rules...]", "for list: NETWORK[:PORT[-PORT][/tcp|udp]]")
      .description("set the policy; open connections that it forbids end (owners)")
      .action(set),
    "berth egress set none --env acme/production",
    "berth egress set list 203.0.113.7:443 198.51.100.0/24:5000-5010/udp --env acme/production",
    "berth egress set open --env acme/production",
  );
  examples(
    withJson(egress.command("gateway <org/environment>"))
      .description("all that leaves, leaves through one host with one of its addresses (operators)")
      .option("--host <name>", "the host; while it is away, nothing leaves")
      .option("--address <ipv4>", "an address that the host has; its own one when not given")
      .option("--off", "through each host, with its own address")
      .action(gateway),
    "berth egress gateway acme/production --host h1 --address 203.0.113.40",
    "berth egress gateway acme/production --off",
  );
}

async function show(address: string | undefined, flags: CommonFlags): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, address);
  const reply = await client.call("showEgress", { params });
  if (flags.json === true) return printJson(reply);
  printPolicy(reply.policy);
  const { gateway: out } = reply;
  say(
    out === null
      ? "it leaves with the address of the host that the container runs on"
      : `it leaves through ${clean(out.host)}, always with the address ${out.address}`,
  );
}

interface GatewayFlags extends CommonFlags {
  readonly host?: string;
  readonly address?: string;
  readonly off?: boolean;
}

async function gateway(text: string, { host, address, off, json }: GatewayFlags): Promise<void> {
  const named = parseEnvironment(text);
  if (named === null || named.org === null)
    throw usageError(`${JSON.stringify(text)} is not ORG/ENVIRONMENT`, "Name it as acme/production.");
  if ((host === undefined) === (off !== true) || (off === true && address !== undefined))
    throw usageError("either a host or --off is needed", "Add --host NAME [--address IPV4], or --off alone.");
  const chosen = host === undefined ? null : { host, ...(address === undefined ? {} : { address }) };
  const body = { org: named.org, environment: named.environment, gateway: chosen };
  const client = await connect();
  const reply = await withProgress(WAITING, client.call("changeEgressGateway", { body }));
  if (json === true) return printJson(reply);
  const { gateway: set } = reply;
  say(
    set === null
      ? `what ${text} sends out leaves with each host's own address again`
      : `what ${text} sends out leaves through ${clean(set.host)} with the address ${set.address}; while that host is away, or does not have it, nothing leaves`,
  );
  sayHeld(reply.isHeld);
}

async function set(mode: EgressPolicy["mode"], texts: readonly string[], flags: EnvFlags): Promise<void> {
  const rules = texts.map(ruleOf);
  if (mode !== "list" && rules.length > 0)
    throw usageError(`${mode} takes no rules`, "Leave them out, or set `list` with them.");
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const reply = await withProgress(WAITING, client.call("changeEgress", { params, body: { mode, rules } }));
  if (flags.json === true) return printJson(reply);
  printPolicy(reply.policy);
  sayHeld(reply.isHeld);
}

function printPolicy({ mode, rules }: EgressPolicy): void {
  printLines([MEANING[mode], ...rules.map((rule) => `  ${formatEgressRule(rule)}`)]);
  say(
    "private networks, metadata addresses, hosts and mail port 25 stay closed unless the operator opened them",
  );
}

function ruleOf(text: string): EgressRule {
  const rule = parseEgressRule(text);
  if (rule === null)
    throw usageError(
      `${JSON.stringify(text)} is not an egress rule`,
      "Write NETWORK[:PORT[-PORT][/tcp|udp]], for example 203.0.113.0/24 or 203.0.113.7:443.",
    );
  return rule;
}
