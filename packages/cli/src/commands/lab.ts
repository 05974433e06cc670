/**
 * `berth lab`: several real Docker hosts on this machine, and the means to hurt them.
 * Errors are thrown; the caller of `program.parseAsync` prints them and sets the exit code.
 */
import { spawnSync } from "node:child_process";
import { type Lab, type LabHost, labUp, openLab } from "@berth/infra/lab/lab.ts";
import { labPodDown, labPodUp } from "@berth/infra/lab/lab-pod.ts";
import type { Cut } from "@berth/infra/lab/lab-record.ts";
import { type LabHostStatus, type LabStatus, labStatus } from "@berth/infra/lab/lab-status.ts";
import { stateDirOf } from "@berth/infra/pod/settings.ts";
import { type Command, Option } from "commander";
import { examples, wholeNumber, withJson } from "./common.ts";

interface LabFlags {
  readonly stateDir?: string;
}
interface UpFlags extends LabFlags {
  readonly hosts: number;
  readonly index?: number;
  readonly enginesOnly?: boolean;
}

const say = (line: string): void => void process.stderr.write(`lab: ${line}\n`);

export function registerLabCommands(program: Command): void {
  const lab = program
    .command("lab")
    .description("several real Docker hosts on this machine, for tests and benchmarks");
  registerUpAndDown(lab);
  registerStatus(lab);
  registerFaults(lab);
  registerExec(lab);
}

function registerUpAndDown(lab: Command): void {
  const up = subcommand(lab, "up")
    .description("make what is missing, start what is off; safe to repeat")
    .option("--hosts <count>", "how many hosts, 1 to 9", wholeNumber(1, 9), 3)
    .option("--index <number>", "0 to 99: labs with different indexes run side by side", wholeNumber(0, 99))
    .option("--engines-only", "no control plane and no agents: only the Docker Engines")
    .action(async (flags: UpFlags) => {
      const stateDir = stateDirOf(flags, process.env);
      const index = flags.index === undefined ? {} : { index: flags.index };
      if (flags.enginesOnly === true) await labUp({ hosts: flags.hosts, stateDir, say, ...index });
      else
        await labPodUp({
          ...{ hosts: flags.hosts, stateDir, ...index },
          ...{ environment: process.env, progress: say },
        });
      printStatus(await labStatus(stateDir));
    });
  examples(up, "berth lab up --hosts 3", "berth lab status", "berth lab power-cycle h2", "berth lab down");
  subcommand(lab, "down")
    .description("remove everything that the lab made: processes, networks, disks, the pod's state")
    .action(async (flags: LabFlags) => {
      await labPodDown(stateDirOf(flags, process.env), say);
      say("down; only downloads and the root file system are kept");
    });
}

function registerStatus(lab: Command): void {
  withJson(subcommand(lab, "status"))
    .description("the hosts, their engines and what runs on them")
    .action(async (flags: LabFlags & { json?: boolean }) => {
      const status = await labStatus(stateDirOf(flags, process.env));
      if (flags.json === true) process.stdout.write(`${JSON.stringify(status, null, 2)}\n`);
      else printStatus(status);
    });
}

function registerFaults(lab: Command): void {
  const oneWay = new Option("--one-way <direction>", "in: it hears nothing; out: nobody hears it");
  subcommand(lab, "cut <host>")
    .description("drop what the host sends and receives, silently, until 'heal'")
    .addOption(oneWay.choices(["in", "out"]))
    .action(async (name: string, flags: LabFlags & { oneWay?: Cut }) => {
      await openedLab(flags).host(name).cut(flags.oneWay);
      say(`${name}: cut (${flags.oneWay ?? "both ways"})`);
    });
  registerFault(lab, "heal", "end a cut", (host) => host.heal());
  registerFault(lab, "kill", "SIGKILL everything of the host at once; it stays off", (host) => host.kill());
  registerFault(lab, "start", "start a host that is off", (host) => host.start());
  registerFault(lab, "power-cycle", "kill, forget what was in memory, start", (host) => host.powerCycle());
}

function registerFault(
  lab: Command,
  verb: string,
  description: string,
  act: (host: LabHost) => Promise<void>,
): void {
  subcommand(lab, `${verb} <host>`)
    .description(description)
    .action(async (name: string, flags: LabFlags) => {
      await act(openedLab(flags).host(name));
      say(`${name}: ${verb} done`);
    });
}

function registerExec(lab: Command): void {
  const exec = subcommand(lab, "exec <host> <command...>")
    .description("run a command inside a host; DOCKER_HOST is set")
    .action((name: string, command: string[], flags: LabFlags) => {
      const [program = "", ...args] = [...openedLab(flags).host(name).enter(), ...command];
      const { status, error } = spawnSync(program, args, { stdio: "inherit" });
      if (error !== undefined) throw error;
      process.exitCode = status ?? 1;
    });
  examples(exec, "berth lab exec h1 -- docker ps", "berth lab exec h1 -- ip route");
}

function printStatus(status: LabStatus | null): void {
  if (status === null) {
    process.stdout.write("no lab here: 'berth lab up' makes one\n");
    return;
  }
  const pod = status.pod === null ? "engines only" : `control plane ${status.pod}`;
  process.stdout.write(
    `lab ${status.index}: ${pod}; this machine is ${status.machineAddress} to its hosts\n`,
  );
  for (const host of status.hosts) process.stdout.write(`${hostLine(host)}\n`);
}

function hostLine(host: LabHostStatus): string {
  const state = host.running ? "running" : "off";
  const cut = host.cut === null ? "" : host.cut === "both" ? ", cut" : `, cut (${host.cut})`;
  const { engine } = host;
  const docker =
    engine === null ? "no engine" : `Docker ${engine.version}, ${engine.containersRunning} containers`;
  const processes = host.processes.map(({ name, state: its }) => `${name} ${its}`).join(", ");
  const rest = [docker, processes].filter((part) => part !== "").join("; ");
  return `${host.name}  ${host.address}  ${state}${cut}  ${rest}\n    ${host.dockerSocket}`;
}

function openedLab(flags: LabFlags): Lab {
  const stateDir = stateDirOf(flags, process.env);
  const lab = openLab(stateDir);
  if (lab === null) throw new Error(`${stateDir} has no lab: 'berth lab up' makes one`);
  return lab;
}

/** A subcommand of `lab`, with the option that all of them have. */
function subcommand(lab: Command, nameAndArguments: string): Command {
  return lab
    .command(nameAndArguments)
    .option("--state-dir <folder>", "where the lab and its pod live (or BERTH_STATE_DIR)");
}
