/** `berth deploys`. */
import { DeployId } from "@berth/shared/domain/ids.ts";
import type { Command } from "commander";
import type { Answer, Client } from "../client.ts";
import { renderStages, renderTrace } from "../core/render-trace.ts";
import { clean } from "../output/clean.ts";
import { colours, print, printJson, printLines, printTable, say } from "../output/print.ts";
import { age, duration, table } from "../output/table.ts";
import { CliError, EXIT, usageError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, wholeNumber, withEnv, withJson } from "./common.ts";
import { watchDeploy } from "./watch.ts";

type Deploy = Answer<"cancelDeploy">["deploy"];

export function registerDeployCommands(program: Command): void {
  const deploys = program.command("deploys").description("what was pushed or changed, and how it went");
  examples(
    withEnv(deploys.command("list [service]"))
      .description("deploys, newest first")
      .option("-n, --limit <count>", "how many", wholeNumber(1, 200), 20)
      .action(listDeploys),
    "berth deploys list shop -n 5",
  );
  examples(
    withEnv(deploys.command("show [deploy]"))
      .description("one deploy: state, stages, trace; the latest of the git repository's service by default")
      .action(showDeploy),
    "berth deploys show dep_01k…",
    "berth deploys show shop",
  );
  examples(
    withEnv(deploys.command("watch [deploy]"))
      .description(
        "output and steps, live, until the deploy ends; a deploy's id, or a service for its latest",
      )
      .action(watch),
    "berth deploys watch dep_01k…",
    "berth deploys watch shop",
  );
  examples(
    withJson(deploys.command("cancel <deploy>"))
      .description("cancel a deploy; the old release keeps serving")
      .action(cancelDeploy),
    "berth deploys cancel dep_01k…",
  );
}

/** A deploy's id as given, or the latest deploy of the named or the git repository's service. */
async function findDeployId(
  client: Client,
  given: string | undefined,
  env: string | undefined,
): Promise<string> {
  if (given !== undefined && DeployId.safeParse(given).success) return given;
  if (given?.startsWith("dep_"))
    throw usageError(`${given} is not the id of a deploy`, "See `berth deploys list`.");
  const params = await findService(client, given, env);
  const { deploys } = await client.call("listDeploys", { params, query: { limit: 1 } });
  const [latest] = deploys;
  if (latest === undefined)
    throw new CliError(`${params.service} was never deployed`, {
      exitCode: EXIT.notFound,
      next: "git push berth main",
    });
  return latest.id;
}

function stateOf(deploy: Deploy): string {
  if (deploy.state === "succeeded") return colours.green(deploy.state);
  return deploy.final ? colours.red(deploy.state) : colours.yellow(deploy.state);
}

async function listDeploys(name: string | undefined, flags: EnvFlags & { limit: number }): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("listDeploys", { params, query: { limit: flags.limit } });
  if (flags.json === true) return printJson(reply);
  const nowMs = Date.now();
  const columns = [
    { title: "DEPLOY", cell: (d: Deploy) => d.id },
    { title: "AGE", align: "right" as const, cell: (d: Deploy) => age(Date.parse(d.createdAt), nowMs) },
    { title: "CAUSE", cell: (d: Deploy) => d.cause },
    { title: "COMMIT", cell: (d: Deploy) => d.commit?.slice(0, 10) ?? null },
    { title: "RELEASE", cell: (d: Deploy) => (d.release === null ? null : `v${d.release}`) },
    {
      title: "TOOK",
      align: "right" as const,
      cell: (d: Deploy) =>
        d.finishedAt === null ? null : duration(Date.parse(d.finishedAt) - Date.parse(d.createdAt)),
    },
    { title: "STATE", cell: (d: Deploy) => d.state },
    {
      title: "REASON",
      cell: (d: Deploy) =>
        d.reason === null ? "" : clean(`${d.reasonCode ?? ""}: ${d.reason.split("\n")[0]}`).slice(0, 80),
    },
  ];
  printTable(table(columns, reply.deploys), `${params.service} was never deployed; git push berth main`);
}

async function showDeploy(given: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const deployId = await findDeployId(client, given, flags.env);
  const reply = await client.call("showDeploy", { params: { deployId } });
  if (flags.json === true) return printJson(reply);
  const { deploy, timeline } = reply;
  print(`deploy    ${deploy.id}, ${deploy.cause}, ${stateOf(deploy)}`);
  print(
    `service   ${deploy.org}/${deploy.environment}/${deploy.service}${deploy.release === null ? "" : ` v${deploy.release}`}`,
  );
  if (reply.plan !== null) print(`plan      ${clean(reply.plan)}`);
  if (deploy.commit !== null) print(`commit    ${deploy.commit}`);
  print(`url       ${clean(reply.url)}`);
  print(`started   ${deploy.createdAt}${deploy.finishedAt === null ? "" : `, ended ${deploy.finishedAt}`}`);
  if (deploy.reason !== null)
    print(
      `reason    ${clean(deploy.reasonCode ?? "")}: ${deploy.reason.split("\n").map(clean).join("\n          ")}`,
    );
  if (reply.firstResponse !== null)
    print(
      `answered  ${reply.firstResponse.status === 0 ? "not in time" : `HTTP ${reply.firstResponse.status}`}`,
    );
  printTimeline(timeline);
  if (reply.spans.length > 0) {
    print();
    print(`Trace ${reply.traceId ?? ""}`);
    printLines(renderTrace(reply.spans, clean));
  }
}

function printTimeline({ stages, wallMs, coveredShare }: Answer<"showDeploy">["timeline"]): void {
  if (stages.length === 0) return;
  const startMs = Math.min(...stages.map((stage) => stage.startedAtMs));
  print();
  print(`Stages: ${duration(wallMs)} of wall time, ${(coveredShare * 100).toFixed(1)} % of it explained`);
  printLines(renderStages(stages, startMs, startMs + wallMs, clean));
}

async function watch(given: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  await watchDeploy(client, await findDeployId(client, given, flags.env), flags.json === true);
}

async function cancelDeploy(deployId: string, flags: { json?: boolean }): Promise<void> {
  const reply = await (await connect()).call("cancelDeploy", { params: { deployId } });
  if (flags.json === true) return printJson(reply);
  const { id, state, final } = reply.deploy;
  say(
    final
      ? `${id} is ${state}; the old release keeps serving`
      : `cancelling ${id}, which is ${state}; the old release keeps serving`,
  );
}
