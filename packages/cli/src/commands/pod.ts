/**
 * `berth up | down | status | reset` and `berth host join`: the commands that change this machine.
 * Progress goes to stderr, results (and `--json`) to stdout. Errors are thrown; the entry point prints them.
 */
import { changeHostAddress } from "@berth/infra/host/address.ts";
import { hostUp } from "@berth/infra/host/up.ts";
import { interruptSignal } from "@berth/infra/interrupt.ts";
import { down, reset } from "@berth/infra/pod/down.ts";
import { readPodFile, stateDirOf } from "@berth/infra/pod/settings.ts";
import { status, statusLines } from "@berth/infra/pod/status.ts";
import { up } from "@berth/infra/pod/up.ts";
import { confirm, isCancel } from "@clack/prompts";
import type { Command } from "commander";

const progress = (line: string): void => void process.stderr.write(`berth: ${line}\n`);
const print = (line: string): void => void process.stdout.write(`${line}\n`);

export function registerPodCommands(program: Command): void {
  registerUp(program);
  registerDown(program);
  registerStatus(program);
  registerReset(program);
  const host = program.command("host").description("add machines to the pod");
  registerHostJoin(host);
  registerHostAddress(host);
}

type StateDirOption = { readonly stateDir?: string };

type UpFlags = StateDirOption & {
  readonly listen?: string;
  readonly address?: string;
  readonly domain?: string;
  readonly edgePort?: string;
  readonly postgresUrl?: string;
  readonly objectStore?: string;
  readonly hostName?: string;
  readonly host?: boolean;
  readonly json?: boolean;
};

function registerUp(program: Command): void {
  withStateDir(program.command("up"))
    .description("start the pod on this machine, installing what is missing; safe to repeat")
    .option("--listen <address>", "address that api, git, nats and registry listen on (default 127.0.0.1)")
    .option(
      "--address <address>",
      "address that hosts and customers use for this machine (default 127.0.0.1)",
    )
    .option("--domain <name>", "apps answer at SERVICE-ENVIRONMENT.<name> (default berth.localhost)")
    .option("--edge-port <port>", "port of the apps' HTTP (default 8000)")
    .option(
      "--postgres-url <url>",
      "an existing PostgreSQL 15 or later, as a role that may create databases and roles",
    )
    .option("--object-store <url>", "file:///folder or s3://bucket?endpoint=...&region=...")
    .option("--host-name <name>", "name of this machine as a host")
    .option("--no-host", "control plane only: this machine runs no jobs")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nSettings are kept in <state>/pod.json; ports and limits are BERTH_* variables (docs/OPERATING.md).\n\nExamples:\n  berth up\n  berth up --listen 10.0.0.5 --address 10.0.0.5 --domain apps.example.org --edge-port 80",
    )
    .action(async (flags: UpFlags) => {
      const { stateDir } = stateDirOption(flags);
      if ((await readPodFile(stateDir))?.settings.role === "host")
        return await hostUp({ stateDir, progress, environment: process.env });
      const settings = {
        ...{
          stateDir,
          listenHost: flags.listen,
          publicAddress: flags.address,
          podDomain: flags.domain,
          edgePort: flags.edgePort,
        },
        ...{ postgresUrl: flags.postgresUrl, objectStore: flags.objectStore, hostName: flags.hostName },
        ...(flags.host === false ? { joinThisMachine: false } : {}),
      };
      const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
      const signal = interruptSignal(progress);
      const pod = await up({ settings: given, environment: process.env, progress, signal });
      const { podDomain, edgePort } = pod.settings;
      const result = { apiUrl: pod.apiUrl, gitUrl: pod.gitUrl, podDomain, edgePort, stateDir };
      if (flags.json === true) return print(JSON.stringify(result));
      print(`api   ${result.apiUrl}`);
      print(`git   ${result.gitUrl}`);
      print(`apps  http://SERVICE-ENVIRONMENT.${podDomain}:${edgePort}`);
    });
}

function registerDown(program: Command): void {
  withStateDir(program.command("down"))
    .description("stop the pod on this machine; its state stays")
    .option("--keep-apps", "leave the apps' containers running (upgrades, service restarts)")
    .addHelpText("after", "\nExamples:\n  berth down\n  berth down --keep-apps && git pull && berth up")
    .action(async (flags: StateDirOption & { keepApps?: boolean }) => {
      await down({ ...stateDirOption(flags), progress, keepApps: flags.keepApps === true });
    });
}

function registerStatus(program: Command): void {
  withStateDir(program.command("status"))
    .description("what runs on this machine; exit code 1 when something is not ready")
    .option("--json", "print all processes and versions as JSON")
    .action(async (flags: StateDirOption & { json?: boolean }) => {
      const pod = await status(stateDirOption(flags).stateDir);
      if (flags.json === true) print(JSON.stringify(pod, null, 2));
      else for (const line of statusLines(pod, Date.now())) print(line);
      if (pod.state !== "up") process.exitCode = 1;
    });
}

function registerReset(program: Command): void {
  withStateDir(program.command("reset"))
    .description("stop the pod and REMOVE all its state: apps, data, keys")
    .option("--yes", "do not ask")
    .action(async (flags: StateDirOption & { yes?: boolean }) => {
      const { stateDir } = stateDirOption(flags);
      if (flags.yes !== true && !(await isSure(stateDir))) return progress("nothing was removed");
      await reset({ stateDir, progress });
    });
}

async function isSure(stateDir: string): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new Error("berth reset removes everything. Confirm it with: berth reset --yes");
  const answer = await confirm({
    message: `Remove the pod in ${stateDir}, with every app, its data and all keys?`,
    initialValue: false,
  });
  return !isCancel(answer) && answer;
}

type JoinFlags = StateDirOption & {
  readonly api: string;
  readonly token: string;
  readonly name: string;
  readonly address: string;
  readonly zone?: string;
  readonly edgePort?: string;
};

function registerHostJoin(host: Command): void {
  withStateDir(host.command("join"))
    .description("make this machine a host of a pod")
    .requiredOption("--api <url>", "the pod's api, such as http://10.0.0.5:7420")
    .requiredOption("--token <token>", "one-time token of: berth hosts token")
    .requiredOption("--name <name>", "name of this host")
    .requiredOption("--address <address>", "IPv4 address at which the other hosts reach this machine")
    .option("--zone <zone>", "failure zone: replicas are spread over zones first")
    .option("--edge-port <port>", "port of the apps' HTTP on this machine (default 8000)")
    .addHelpText(
      "after",
      "\nExample:\n  berth host join --api http://10.0.0.5:7420 --token TOKEN --name h2 --address 10.0.0.6",
    )
    .action(async (flags: JoinFlags) => {
      const { api: apiUrl, token: joinToken, name, address: nodeAddress, zone } = flags;
      await hostUp({
        ...stateDirOption(flags),
        ...{ progress, environment: process.env },
        join: { apiUrl, joinToken, name, nodeAddress, ...(zone === undefined ? {} : { zone }) },
        ...(flags.edgePort === undefined ? {} : { edgePort: Number(flags.edgePort) }),
      });
      print(`host ${name} is up; it bids for work from now on`);
    });
}

function registerHostAddress(host: Command): void {
  withStateDir(host.command("address <address>"))
    .description("tell the pod that this machine is reached at another address; it stays the same host")
    .addHelpText("after", "\nExample:\n  berth host address 10.0.0.9")
    .action(async (address: string, flags: StateDirOption) => {
      const { stateDir } = stateDirOption(flags);
      const was = await changeHostAddress({ stateDir, nodeAddress: address, progress });
      print(`this machine is reached at ${address} (was ${was}); its jobs keep running`);
    });
}

function withStateDir(command: Command): Command {
  return command.option(
    "--state-dir <folder>",
    "where all state is (default /var/lib/berth, or BERTH_STATE_DIR)",
  );
}

function stateDirOption(flags: StateDirOption): { readonly stateDir: string } {
  return { stateDir: stateDirOf(flags, process.env) };
}
