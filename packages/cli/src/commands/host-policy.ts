/** `berth hosts cordon | uncordon | drain | label | dedicate | remove`: what operators say of a host. */
import type { Command } from "commander";
import type { Answer, Given } from "../client.ts";
import { clean } from "../output/clean.ts";
import { printJson, say } from "../output/print.ts";
import { usageError } from "../session/cli-error.ts";
import { connect } from "../session/context.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";
import { registerDrainCommand } from "./host-drain.ts";

type Host = Answer<"listHosts">["hosts"][number];
type Change = Given<"changeHost">["body"];

/** What of a host's policy is worth a word: nothing for a plain one. */
export function policyWords(host: Host): string[] {
  return [
    ...(host.draining ? [host.jobsCount === 0 ? "drained" : "draining"] : []),
    ...(host.cordoned && !host.draining ? ["cordoned"] : []),
    ...(host.dedicatedTo === null ? [] : [`only ${host.dedicatedTo}`]),
    ...Object.entries(host.labels).map(([name, value]) => `${name}=${value}`),
  ];
}

export function registerPolicyCommands(hosts: Command): void {
  simple(hosts, "cordon", "give a host no new work; what it runs stays", { cordoned: true });
  simple(hosts, "uncordon", "give a host work again, also after a drain", {
    cordoned: false,
    draining: false,
  });
  registerDrainCommand(hosts);
  examples(
    withJson(hosts.command("label <host> <labels...>"))
      .description("set labels (name=value) or remove them (name=)")
      .action((host: string, labels: string[], flags: CommonFlags) =>
        change(host, { labels: parseLabels(labels) }, flags),
      ),
    "berth hosts label h2 disk=ssd rack=",
  );
  examples(
    withJson(hosts.command("dedicate <host> [org]"))
      .description("let a host take the work of one org only; without an org, of all again")
      .action((host: string, org: string | undefined, flags: CommonFlags) =>
        change(host, { dedicatedTo: org ?? null }, flags),
      ),
    "berth hosts dedicate h3 acme",
  );
  examples(
    withJson(hosts.command("remove <host>"))
      .description("forget a host that runs nothing")
      .option("--force", "also a lost one whose jobs were replaced")
      .action(async (host: string, flags: CommonFlags & { force?: boolean }) => {
        const reply = await (await connect()).call("removeHost", {
          params: { host },
          query: { force: flags.force === true ? "1" : "0" },
        });
        if (flags.json === true) return printJson(reply);
        say(
          `${host} is no longer a host of the pod and its credentials are void; stop it there with: berth down`,
        );
      }),
    "berth hosts remove h3",
  );
}

function simple(hosts: Command, name: string, about: string, body: Change): void {
  examples(
    withJson(hosts.command(`${name} <host>`))
      .description(about)
      .action((host: string, flags: CommonFlags) => change(host, body, flags)),
    `berth hosts ${name} h2`,
  );
}

async function change(host: string, body: Change, flags: CommonFlags): Promise<void> {
  const reply = await (await connect()).call("changeHost", { params: { host }, body });
  if (flags.json === true) return printJson(reply);
  const words = policyWords(reply);
  say(
    `${clean(reply.name)}: ${words.length === 0 ? "takes work of everybody" : words.map(clean).join(", ")}`,
  );
}

/** @throws a usage error for a word that is not `name=value` or `name=` */
export function parseLabels(words: readonly string[]): Record<string, string | null> {
  const labels: Record<string, string | null> = {};
  for (const word of words) {
    const [name, value, ...rest] = word.split("=");
    if (name === undefined || name === "" || value === undefined || rest.length > 0)
      throw usageError(`${JSON.stringify(word)} is not a label`, "Write name=value to set, name= to remove.");
    labels[name] = value === "" ? null : value;
  }
  return labels;
}
