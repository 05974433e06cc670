/** `berth services`, `berth git-remote`, `berth open`. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { formatBytes } from "@berth/shared/domain/resources.ts";
import { confirm, isCancel } from "@clack/prompts";
import type { Command } from "commander";
import type { Answer } from "../client.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, printTable, say } from "../output/print.ts";
import { table } from "../output/table.ts";
import { CliError, EXIT, usageError } from "../session/cli-error.ts";
import { connect, findEnvironment, findService, REMOTE } from "../session/context.ts";
import { git, remoteUrl, tryGit } from "../session/git.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";
import { registerServiceHttpCommand } from "./service-http.ts";
import { registerServicePolicyCommand } from "./service-policy.ts";

type Service = Answer<"showService">;

export function registerServiceCommands(program: Command): void {
  const services = program.command("services").description("the apps of an environment");
  examples(
    withEnv(services.command("list")).description("services of the environment").action(listServices),
    "berth services list --env acme/production",
  );
  examples(
    withEnv(services.command("create <name>"))
      .description("make a service")
      .option("--branch <branch>", "the branch whose pushes are deployed", "main")
      .option(
        "--health <path>",
        "path that answers 2xx or 3xx when the app is ready; without it a TCP connect is enough",
      )
      .action(createService),
    "berth services create shop",
    "berth services create shop --branch release --health /healthz --env acme/production",
  );
  examples(
    withEnv(services.command("show [service]")).description("one service").action(showService),
    "berth services show shop",
  );
  examples(
    withEnv(services.command("rm <service>"))
      .description("remove a service with its containers, routes and variables")
      .option("--yes", "do not ask")
      .action(removeService),
    "berth services rm shop",
    "berth services rm shop --yes",
  );

  registerServiceHttpCommand(services);
  registerServicePolicyCommand(services);

  const remote = program.command("git-remote").description("the git remote of a service");
  examples(
    withEnv(remote.command("add <service>"))
      .description("add the service's git remote to this repository, with a helper that gives git the token")
      .option("-r, --remote <name>", "name of the remote", REMOTE)
      .option("-f, --force", "replace a remote of that name")
      .action(addRemote),
    "berth git-remote add shop",
    "git push berth main",
  );
  examples(
    withEnv(remote.command("show [service]")).description("the service's git URL").action(showRemote),
    "berth git-remote show shop",
  );

  examples(
    withEnv(program.command("open [service]"))
      .description("print the service's URL, and open it where there is a desktop")
      .action(openService),
    "berth open shop",
  );
}

async function listServices(flags: EnvFlags): Promise<void> {
  const client = await connect();
  const reply = await client.call("listServices", { params: await findEnvironment(client, flags.env) });
  if (flags.json === true) return printJson(reply);
  const columns = [
    { title: "SERVICE", cell: (service: Service) => clean(service.name) },
    {
      title: "RELEASE",
      cell: (service: Service) =>
        service.currentRelease === null ? "none yet" : `v${service.currentRelease}`,
    },
    {
      title: "PROCESSES",
      cell: (service: Service) => service.processes.map((p) => `${p.process}=${p.scale}`).join(" "),
    },
    { title: "URL", cell: (service: Service) => clean(service.url) },
  ];
  printTable(table(columns, reply.services), "there is no service yet; make one: berth services create NAME");
}

async function createService(
  name: string,
  flags: EnvFlags & { branch: string; health?: string },
): Promise<void> {
  const client = await connect();
  const params = await findEnvironment(client, flags.env);
  const service = await client.call("createService", {
    params,
    body: { name, deployBranch: flags.branch, healthPath: flags.health ?? null },
  });
  if (flags.json === true) return printJson(service);
  say(`made ${service.org}/${service.environment}/${service.name}; it will answer at ${clean(service.url)}`);
  say(
    `next, in its git repository: berth git-remote add ${service.name} && git push ${REMOTE} ${service.deployBranch}`,
  );
}

async function showService(name: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const service = await client.call("showService", { params: await findService(client, name, flags.env) });
  if (flags.json === true) return printJson(service);
  print(`service   ${service.org}/${service.environment}/${service.name}`);
  print(`url       ${clean(service.url)}`);
  print(`git       ${clean(service.gitUrl)}`);
  print(`branch    ${clean(service.deployBranch)}`);
  print(`release   ${service.currentRelease === null ? "none yet" : `v${service.currentRelease}`}`);
  for (const p of service.processes) {
    print(
      `process   ${p.process}=${p.scale}, ${formatBytes(p.memoryBytes)}, ${p.cpuMillis / 1000} CPU, disk ${formatBytes(p.diskBytes)}${p.healthPath === null ? "" : `, health ${clean(p.healthPath)}`}`,
    );
  }
}

async function removeService(name: string, flags: EnvFlags & { yes?: boolean }): Promise<void> {
  const client = await connect();
  const params = await findService(client, name, flags.env);
  await client.call("showService", { params });
  if (flags.yes !== true && !(await isSure(`${params.org}/${params.environment}/${params.service}`)))
    throw new CliError("nothing was removed");
  const reply = await client.call("removeService", { params });
  if (flags.json === true) return printJson(reply);
  say(`removed ${params.org}/${params.environment}/${params.service}; its containers are being stopped`);
}

async function isSure(what: string): Promise<boolean> {
  if (process.stdin.isTTY !== true) throw usageError(`removing ${what} must be confirmed`, "Add --yes.");
  const answer = await confirm({
    message: `Remove ${what} with its containers, routes and variables?`,
    initialValue: false,
  });
  return !isCancel(answer) && answer;
}

async function addRemote(name: string, flags: EnvFlags & { remote: string; force?: boolean }): Promise<void> {
  if ((await tryGit("rev-parse", "--git-dir")) === null)
    throw new CliError("this folder is not in a git repository", {
      next: "Go to your app's repository, or make one: git init",
    });
  const client = await connect();
  const service = await client.call("showService", {
    params: { ...(await findEnvironment(client, flags.env)), service: name },
  });
  const present = await remoteUrl(flags.remote);
  if (present !== null && present !== service.gitUrl && flags.force !== true) {
    throw new CliError(`the remote ${flags.remote} is there already: ${present}`, {
      next: "Replace it with --force, or choose another name with --remote NAME.",
    });
  }
  await git("remote", present === null ? "add" : "set-url", flags.remote, service.gitUrl);
  await configureHelper(service.gitUrl);
  if (flags.json === true) return printJson(service);
  say(`added the remote ${flags.remote}; deploy with: git push ${flags.remote} HEAD:${service.deployBranch}`);
}

/**
 * For this git server and this repository only. The empty helper first drops the user's general ones, which might
 * store the token on disk.
 */
async function configureHelper(gitUrl: string): Promise<void> {
  const key = `credential.${new URL(gitUrl).origin}.helper`;
  const berth = resolve(import.meta.dirname, "../../../../berth");
  await tryGit("config", "--local", "--unset-all", key);
  await git("config", "--local", "--add", key, "");
  await git("config", "--local", "--add", key, `!'${berth.replaceAll("'", "'\\''")}' git-credential`);
}

async function showRemote(name: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const service = await client.call("showService", { params: await findService(client, name, flags.env) });
  if (flags.json === true) return printJson({ gitUrl: service.gitUrl });
  print(clean(service.gitUrl));
}

async function openService(name: string | undefined, flags: EnvFlags): Promise<void> {
  const client = await connect();
  const service = await client.call("showService", { params: await findService(client, name, flags.env) });
  if (flags.json === true) return printJson({ url: service.url });
  print(clean(service.url));
  if (service.currentRelease === null)
    throw new CliError("nothing was deployed yet", {
      exitCode: EXIT.failed,
      next: `git push ${REMOTE} ${service.deployBranch}`,
    });
  if (process.stdout.isTTY !== true || (process.env.DISPLAY ?? process.env.WAYLAND_DISPLAY) === undefined)
    return;
  const opener = spawn("xdg-open", [service.url], { stdio: "ignore", detached: true });
  opener.on("error", () => undefined); // the URL was printed
  opener.unref();
}
