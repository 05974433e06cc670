/** `berth status SERVICE` and `berth why`: what runs where, and why there. */
import type { Command } from "commander";
import type { Answer } from "../client.ts";
import { autoscaleLines } from "../core/render-autoscale.ts";
import { coldStartLines, sleepLine } from "../core/render-sleep.ts";
import { renderDecision } from "../core/render-why.ts";
import { clean } from "../output/clean.ts";
import { colours, print, printJson, printLines, printTable, say } from "../output/print.ts";
import { age, table } from "../output/table.ts";
import { connect, findRemote, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, wholeNumber, withEnv } from "./common.ts";

export function registerStatusCommands(program: Command): void {
  examples(
    withEnv(program.command("status [service]"))
      .description(
        "what runs of a service, where, and what is being deployed; without a service, the pod on this machine",
      )
      .option(
        "--state-dir <folder>",
        "of the pod on this machine (default /var/lib/berth, or BERTH_STATE_DIR)",
      )
      .action(status),
    "berth status shop",
    "berth status                 # the pod's processes on this machine",
  );
  examples(
    withEnv(program.command("why [service]"))
      .description("why the jobs are where they are: every host's bid, score or refusal")
      .option("-n, --limit <count>", "how many decisions", wholeNumber(1, 200), 10)
      .option("-a, --all", "also decisions about jobs that ended")
      .action(why),
    "berth why shop",
  );
}

interface StatusFlags extends EnvFlags {
  readonly stateDir?: string;
}

async function status(name: string | undefined, flags: StatusFlags): Promise<void> {
  if (name === undefined && (flags.stateDir !== undefined || (await findRemote()) === null))
    return podStatus(flags);
  const client = await connect();
  const reply = await client.call("serviceStatus", { params: await findService(client, name, flags.env) });
  if (flags.json === true) return printJson(reply);
  const { service, instances, latestDeploy, sleep } = reply;
  print(
    `${service.org}/${service.environment}/${service.name}  ${service.currentRelease === null ? "no release yet" : `v${service.currentRelease}`}  ${clean(service.url)}`,
  );
  if (service.maintenanceSince != null)
    print(colours.yellow(`in maintenance since ${service.maintenanceSince}: every edge answers 503`));
  print(service.processes.map((p) => `${p.process}=${p.scale}`).join(" "));
  for (const line of autoscaleLines(reply.autoscale, Date.now())) print(line);
  if (sleep !== undefined && (sleep.state !== "awake" || sleep.lastColdStartMs !== null))
    print(sleepLine(sleep, Date.now()));
  if (latestDeploy !== null) {
    const reason = latestDeploy.reason === null ? "" : `: ${clean(latestDeploy.reason.split("\n")[0] ?? "")}`;
    print(`latest deploy ${latestDeploy.id}, ${latestDeploy.state}${reason}`);
  }
  print();
  printInstances(instances);
}

type Instance = Answer<"serviceStatus">["instances"][number];

function printInstances(instances: readonly Instance[]): void {
  const nowMs = Date.now();
  const columns = [
    { title: "INSTANCE", cell: (i: Instance) => `${clean(i.process)}.${i.slot}` },
    { title: "RELEASE", cell: (i: Instance) => `v${i.release}` },
    { title: "STATE", cell: (i: Instance) => `${i.state}${i.ready ? ", ready" : ""}` },
    { title: "TRAFFIC", cell: (i: Instance) => (i.inRotation ? "yes" : "no") },
    { title: "HOST", cell: (i: Instance) => (i.host === null ? null : clean(i.host)) },
    { title: "ADDRESS", cell: (i: Instance) => i.address },
    { title: "RESTARTS", align: "right" as const, cell: (i: Instance) => i.restartsCount },
    { title: "SINCE", align: "right" as const, cell: (i: Instance) => age(i.sinceMs, nowMs) },
    {
      title: "",
      cell: (i: Instance) => (i.reason === null ? "" : clean(i.reason.split("\n")[0] ?? "").slice(0, 80)),
    },
  ];
  printTable(table(columns, instances), "nothing runs");
}

/** The pod's own status is loaded only when it is wanted: it brings all of the installation's code. */
async function podStatus(flags: StatusFlags): Promise<void> {
  const { registerPodCommands } = await import("./pod.ts");
  const { Command } = await import("commander");
  const pod = new Command();
  registerPodCommands(pod);
  const words = [
    ...(flags.json === true ? ["--json"] : []),
    ...(flags.stateDir === undefined ? [] : ["--state-dir", flags.stateDir]),
  ];
  await pod.parseAsync(["status", ...words], { from: "user" });
}

async function why(
  name: string | undefined,
  flags: EnvFlags & { limit: number; all?: boolean },
): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("whyService", { params, query: { limit: flags.limit } });
  if (flags.json === true) return printJson(reply);
  const shown = flags.all === true ? reply.decisions : stillTrue(reply.decisions);
  const decisions = shown.length > 0 ? shown : reply.decisions;
  for (const one of reply.waiting ?? [])
    print(`${clean(one.process)}.${one.slot} waits for ${clean(one.host)}: ${clean(one.reason)}`);
  for (const line of autoscaleLines(reply.autoscale, Date.now())) print(line);
  for (const line of coldStartLines(reply.sleep)) print(line);
  if (decisions.length === 0) return say(`nothing of ${params.service} was ever placed; git push berth main`);
  const { policy } = await client.call("showServicePolicy", { params });
  for (const line of constraintLines(policy)) print(clean(line));
  for (const [index, decision] of decisions.entries()) {
    if (index > 0) print();
    const { heading, lines } = renderDecision(decision, Date.now(), clean);
    print(colours.bold(heading));
    printLines(lines.map((line) => `  ${line}`));
  }
}

type Decision = Answer<"whyService">["decisions"][number];

/** Where jobs are, and why others wait: not what waited once and was placed since. @param decisions newest first */
function stillTrue(decisions: readonly Decision[]): Decision[] {
  const newest = new Map(decisions.toReversed().map((decision) => [decision.jobId, decision.id]));
  return decisions.filter(
    ({ current, outcome, jobId, id }) => current || (outcome === "unplaceable" && newest.get(jobId) === id),
  );
}

/** What of the service's policy narrows the choice of hosts; no lines for a plain service. */
function constraintLines(policy: Answer<"showServicePolicy">["policy"]): string[] {
  const labels = Object.entries(policy.labels).map(([name, value]) => `${name}=${value}`);
  const words = [
    ...(labels.length === 0 ? [] : [`only hosts with ${labels.join(", ")}`]),
    ...(policy.runtime === "runc" ? [] : [`only hosts with the runtime ${policy.runtime}`]),
    ...(policy.apart ? ["never two instances on one host"] : []),
    ...(policy.near === null ? [] : [`preferably next to ${policy.near}`]),
  ];
  return words.length === 0 ? [] : [`policy: ${words.join("; ")}`, ""];
}
