/** `berth services policy`: what happens when a host is unreachable, and which hosts may run a service. */
import { OnReturn } from "@berth/shared/domain/service-policy.ts";
import { type Command, Option } from "commander";
import type { Answer, Given } from "../client.ts";
import { formatDuration, parseDuration } from "../core/parse-duration.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, say } from "../output/print.ts";
import { usageError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";
import { parseLabels } from "./host-policy.ts";

type Policy = Answer<"showServicePolicy">["policy"];
type Change = Given<"changeServicePolicy">["body"];

interface PolicyFlags extends EnvFlags {
  readonly replaceAfter?: string;
  readonly stopAfter?: string;
  readonly onReturn?: Policy["onReturn"];
  readonly singleWriter?: "on" | "off";
  readonly apart?: "on" | "off";
  readonly labels?: string[];
  readonly runtime?: string;
  readonly near?: string;
  readonly progressDeadline?: string;
}

const onOff = (flags: string, about: string) => new Option(flags, about).choices(["on", "off"]);

export function registerServicePolicyCommand(services: Command): void {
  examples(
    withEnv(services.command("policy [service]"))
      .description("what happens when a host is unreachable, and which hosts may run the service")
      .option("--replace-after <time>", "silence of a host until its instances are replaced, or `never`")
      .option(
        "--stop-after <time>",
        "an instance stops this long after its host's last word from the pod, or `never`",
      )
      .addOption(
        new Option("--on-return <which>", "who stays when a replaced instance's host returns").choices(
          OnReturn.options,
        ),
      )
      .addOption(onOff("--single-writer <on|off>", "at most one running instance per slot, by a lease"))
      .addOption(onOff("--apart <on|off>", "never two instances on one host"))
      .option("--labels <labels...>", "labels that a host must have: name=value, or name= to ask no more")
      .option("--runtime <name>", "container runtime that the host must have")
      .option(
        "--progress-deadline <time>",
        "a deploy that gets no further for so long is rolled back; `never` for the pod's own limit",
      )
      .option("--near <service>", "a service next to which it is preferred, or `none`")
      .action(policyCommand),
    "berth services policy shop",
    "berth services policy shop --replace-after 2m --on-return keep-original",
    "berth services policy ledger --single-writer on --stop-after 30s --replace-after 1m",
    "berth services policy shop --apart on --labels disk=ssd --near cache",
  );
}

async function policyCommand(name: string | undefined, flags: PolicyFlags): Promise<void> {
  const body = toChange(flags);
  const client = await connect();
  const params = await findService(client, name, flags.env);
  if (Object.keys(body).length === 0) {
    const shown = await client.call("showServicePolicy", { params });
    return flags.json === true ? printJson(shown) : printPolicy(shown.policy);
  }
  const reply = await client.call("changeServicePolicy", { params, body });
  if (flags.json === true) return printJson(reply);
  printPolicy(reply.policy);
  if (reply.deployId !== null)
    say(`the running instances are replaced; follow it with: berth deploys watch ${reply.deployId}`);
}

function toChange(flags: PolicyFlags): Change {
  return {
    ...(flags.replaceAfter === undefined
      ? {}
      : { replaceAfterMs: duration("--replace-after", flags.replaceAfter) }),
    ...(flags.stopAfter === undefined ? {} : { stopAfterMs: duration("--stop-after", flags.stopAfter) }),
    ...(flags.progressDeadline === undefined
      ? {}
      : { progressDeadlineMs: duration("--progress-deadline", flags.progressDeadline) }),
    ...(flags.onReturn === undefined ? {} : { onReturn: flags.onReturn }),
    ...(flags.singleWriter === undefined ? {} : { singleWriter: flags.singleWriter === "on" }),
    ...(flags.apart === undefined ? {} : { apart: flags.apart === "on" }),
    ...(flags.labels === undefined ? {} : { labels: parseLabels(flags.labels) }),
    ...(flags.runtime === undefined ? {} : { runtime: flags.runtime }),
    ...(flags.near === undefined ? {} : { near: flags.near === "none" ? null : flags.near }),
  };
}

function duration(flag: string, text: string): number | null {
  const ms = parseDuration(text);
  if (ms === undefined)
    throw usageError(
      `${flag}: ${JSON.stringify(text)} is not a length of time`,
      "Write 15s, 2m, 1h or never.",
    );
  return ms;
}

function printPolicy(policy: Policy): void {
  const labels = Object.entries(policy.labels).map(([name, value]) => `${name}=${value}`);
  print(`replace after  ${formatDuration(policy.replaceAfterMs)}`);
  print(`stop after     ${formatDuration(policy.stopAfterMs)}`);
  print(`on return      ${policy.onReturn}`);
  print(`single writer  ${policy.singleWriter ? "on" : "off"}`);
  print(`apart          ${policy.apart ? "on" : "off"}`);
  print(`labels         ${labels.length === 0 ? "none" : labels.map(clean).join(" ")}`);
  print(`runtime        ${clean(policy.runtime)}`);
  print(
    `sleeps         ${policy.sleepAfterMs === null ? "when told to" : `(${policy.sleepLevel}) ${formatDuration(policy.sleepAfterMs)} after its last request`}`,
  );
  print(
    `deploys        ${policy.progressDeadlineMs === null ? "have the pod's limit" : `end without progress for ${formatDuration(policy.progressDeadlineMs)}`}`,
  );
  print(`near           ${policy.near === null ? "none" : clean(policy.near)}`);
}
