/** `berth releases`, and what makes a release run again: `rollback`, `redeploy`, `restart`. */
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { Command } from "commander";
import type { Answer } from "../client.ts";
import { parseRelease } from "../core/parse-release.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, printTable, say } from "../output/print.ts";
import { age, table } from "../output/table.ts";
import { usageError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, wholeNumber, withEnv } from "./common.ts";
import { followRestart } from "./follow-restart.ts";
import { watchDeploy } from "./watch.ts";

export function registerReleaseCommands(program: Command): void {
  const releases = program
    .command("releases")
    .description("immutable versions: an image, its variables and the sizes of its processes");
  examples(
    withEnv(releases.command("list [service]", { isDefault: true }))
      .description("kept releases, newest first; * is the current one")
      .option("-n, --limit <count>", "how many", wholeNumber(1, 200), 20)
      .action(listReleases),
    "berth releases list shop",
  );
  examples(
    withEnv(releases.command("show <service> <release>"))
      .description("one release: image, processes, sizes, notes")
      .action(showRelease),
    "berth releases show shop v7",
  );
  examples(
    withEnv(releases.command("update <service> <release>"))
      .description("note something about a release")
      .requiredOption("--notes <text>", "what to remember of it; empty removes the notes")
      .action(updateRelease),
    'berth releases update shop v7 --notes "before the new checkout"',
  );
  examples(
    withEnv(releases.command("rm <service> <release>"))
      .description("give up a release: it cannot be rolled back to any more")
      .action(removeRelease),
    "berth releases rm shop v3",
  );
  registerAgain(program);
}

function registerAgain(program: Command): void {
  examples(
    withEnv(program.command("rollback [service] [release]"))
      .description("deploy an earlier release again, without a build; by default the last one that went well")
      .option("--keep-variables", "keep today's variables; otherwise that release's are brought back")
      .option("-d, --detach", "do not wait for the deploy's end")
      .action(rollback),
    "berth rollback shop",
    "berth rollback shop v7",
    "berth rollback shop v7 --keep-variables",
  );
  examples(
    withEnv(program.command("redeploy [service]"))
      .description("deploy the current release again, with today's variables and sizes, without a build")
      .option("-d, --detach", "do not wait for the deploy's end")
      .action(redeploy),
    "berth redeploy shop",
  );
  examples(
    withEnv(program.command("restart [service] [process]"))
      .description("replace the running instances, the new ones first; the release stays")
      .option("-d, --detach", "do not wait until they are replaced")
      .action(restart),
    "berth restart shop",
    "berth restart shop worker",
  );
}

function versionOf(text: string): number {
  const version = parseRelease(text);
  if (version === null)
    throw usageError(
      `${JSON.stringify(text)} is not a release`,
      "Write it like v7; see `berth releases list`.",
    );
  return version;
}

async function listReleases(name: string | undefined, flags: EnvFlags & { limit: number }): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("listReleases", { params, query: { limit: flags.limit } });
  if (flags.json === true) return printJson(reply);
  type Release = (typeof reply.releases)[number];
  const nowMs = Date.now();
  const columns = [
    { title: "RELEASE", cell: (r: Release) => `v${r.version}${r.current ? " *" : ""}` },
    { title: "AGE", align: "right" as const, cell: (r: Release) => age(Date.parse(r.createdAt), nowMs) },
    { title: "COMMIT", cell: (r: Release) => r.commit?.slice(0, 10) ?? null },
    { title: "IMAGE", cell: (r: Release) => clean(r.imageDigest.replace("sha256:", "").slice(0, 12)) },
    { title: "VARS", align: "right" as const, cell: (r: Release) => r.configVersion },
    { title: "PROCESSES", cell: (r: Release) => r.processes.map((p) => p.process).join(" ") },
    { title: "", cell: (r: Release) => (r.serving ? "serving" : "") },
    { title: "WHAT", cell: (r: Release) => clean(r.description) },
    { title: "NOTES", cell: (r: Release) => clean(r.notes.split("\n")[0] ?? "").slice(0, 60) },
  ];
  printTable(table(columns, reply.releases), `${params.service} has no release yet; git push berth main`);
}

async function showRelease(name: string, release: string, flags: EnvFlags): Promise<void> {
  const version = String(versionOf(release));
  const client = await connect();
  const params = { ...(await findService(client, name, flags.env)), version };
  const reply = await client.call("showRelease", { params });
  if (flags.json === true) return printJson(reply);
  printRelease(reply);
}

function printRelease(release: Answer<"showRelease">): void {
  const marks = [release.current ? "current" : "", release.serving ? "serving" : ""].filter(
    (mark) => mark !== "",
  );
  print(`release    v${release.version}${marks.length === 0 ? "" : `, ${marks.join(", ")}`}`);
  print(`what       ${clean(release.description)} (${release.cause})`);
  print(`made       ${release.createdAt}`);
  print(`deploy     ${release.deployId}, ${clean(release.deployState ?? "not begun")}`);
  if (release.commit !== null) print(`commit     ${release.commit}`);
  print(`image      ${clean(release.imageDigest)}, ${formatBytes(release.imageBytes)}`);
  print(`variables  version ${release.configVersion}`);
  for (const { process, command } of release.processes) {
    const size = release.sizes.find((one) => one.process === process);
    const limits =
      size === undefined
        ? ""
        : `, ${formatBytes(size.memoryBytes)}, ${size.cpuMillis / 1000} CPU, disk ${formatBytes(size.diskBytes)}${healthOf(size)}`;
    print(`process    ${process}: ${command === "" ? "the image's own command" : clean(command)}${limits}`);
  }
  for (const line of release.notes === "" ? [] : release.notes.split("\n"))
    print(`notes      ${clean(line)}`);
}

function healthOf({ healthPath }: { healthPath: string | null }): string {
  return healthPath === null ? "" : `, health ${clean(healthPath)}`;
}

async function updateRelease(
  name: string,
  release: string,
  flags: EnvFlags & { notes: string },
): Promise<void> {
  const version = String(versionOf(release));
  const client = await connect();
  const params = { ...(await findService(client, name, flags.env)), version };
  const reply = await client.call("changeRelease", { params, body: { notes: flags.notes } });
  if (flags.json === true) return printJson(reply);
  say(`noted for v${version} of ${params.service}`);
}

async function removeRelease(name: string, release: string, flags: EnvFlags): Promise<void> {
  const version = String(versionOf(release));
  const client = await connect();
  const params = { ...(await findService(client, name, flags.env)), version };
  const reply = await client.call("removeRelease", { params });
  if (flags.json === true) return printJson(reply);
  say(`gave up v${version} of ${params.service}`);
}

interface DeployFlags extends EnvFlags {
  readonly detach?: boolean;
}

async function rollback(
  name: string | undefined,
  release: string | undefined,
  flags: DeployFlags & { keepVariables?: boolean },
): Promise<void> {
  // `berth rollback v7` inside the service's repository: a service's name may look so too, and wins with two words.
  const onlyRelease = release === undefined && name !== undefined && parseRelease(name) !== null;
  const wanted = onlyRelease ? name : release;
  const version = wanted === undefined ? undefined : versionOf(wanted);
  const client = await connect();
  const params = await findService(client, onlyRelease ? undefined : name, flags.env);
  const variables = flags.keepVariables === true ? "keep" : "restore";
  const body = { variables, ...(version === undefined ? {} : { version }) } as const;
  const reply = await client.call("rollbackService", { params, body });
  const detached = flags.detach === true;
  if (flags.json === true && detached) return printJson(reply);
  if (flags.json !== true)
    say(`v${reply.version} of ${params.service} is v${reply.to} again, instead of v${reply.from}`);
  if (detached) return say(`follow it with: berth deploys watch ${reply.deployId}`);
  await watchDeploy(client, reply.deployId, flags.json === true);
}

async function redeploy(name: string | undefined, flags: DeployFlags): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const reply = await client.call("redeployService", { params });
  const detached = flags.detach === true;
  if (flags.json === true && detached) return printJson(reply);
  if (flags.json !== true) say(`v${reply.version} of ${params.service} is being deployed`);
  if (detached) return say(`follow it with: berth deploys watch ${reply.deployId}`);
  await watchDeploy(client, reply.deployId, flags.json === true);
}

async function restart(
  name: string | undefined,
  processName: string | undefined,
  flags: DeployFlags,
): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const body = processName === undefined ? {} : { process: processName };
  const reply = await client.call("restartService", { params, body });
  if (flags.json === true) printJson(reply);
  else if (reply.instances.length === 0) say(`nothing of ${params.service} runs that could be restarted`);
  else
    say(
      `replacing ${reply.instances.map((one) => `${one.process}.${one.slot}`).join(", ")} of v${reply.release}`,
    );
  if (flags.detach !== true) await followRestart(client, params, reply.instances, flags.json === true);
}
