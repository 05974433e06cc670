/**
 * `berth lab`: several real Docker hosts on this machine, and the means to hurt them.
 * Errors are thrown; the caller of `program.parseAsync` prints them and sets the exit code.
 */
import { spawnSync } from "node:child_process";
import { type Lab, labUp, openLab } from "@berth/infra/lab/lab.ts";
import { labPodDown, labPodUp } from "@berth/infra/lab/lab-pod.ts";
import type { Cut } from "@berth/infra/lab/lab-record.ts";
import { type LabHostStatus, type LabStatus, labStatus } from "@berth/infra/lab/lab-status.ts";
import { type Command, InvalidArgumentError, Option } from "commander";

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
  lab
    .command("up")
    .description("make what is missing, start what is off")
    .option("--hosts <count>", "how many hosts, 1 to 9", wholeNumber, 3)
    .option("--index <number>", "0 to 9: labs with different indexes run side by side", wholeNumber)
    .option("--engines-only", "no control plane and no agents: only the Docker Engines")
    .addHelpText(
      "after",
      "\nExamples:\n  berth lab up --hosts 3\n  berth lab status\n  berth lab power-cycle h2",
    )
    .action(async (options: { hosts: number; index?: number; enginesOnly?: boolean }) => {
      const given = {
        ...{ hosts: options.hosts, stateDir: stateDir() },
        ...(options.index === undefined ? {} : { index: options.index }),
      };
      if (options.enginesOnly === true) await labUp({ ...given, say });
      else await labPodUp({ ...given, environment: process.env, progress: say });
      printStatus(await labStatus(stateDir()));
    });
  lab
    .command("down")
    .description("remove everything that the lab made: processes, networks, disks")
    .action(async () => {
      await labPodDown(stateDir(), say);
      say("nothing of it is left");
    });
}

function registerStatus(lab: Command): void {
  lab
    .command("status")
    .description("the hosts, their engines and what runs on them")
    .option("--json", "machine-readable")
    .action(async (options: { json?: boolean }) => {
      const status = await labStatus(stateDir());
      if (options.json === true) process.stdout.write(`${JSON.stringify(status, null, 2)}\n`);
      else printStatus(status);
    });
}

function registerFaults(lab: Command): void {
  lab
    .command("cut <host>")
    .description("drop what the host sends and receives, silently, until 'heal'")
    .addOption(
      new Option("--one-way <direction>", "in: it hears nothing; out: nobody hears it").choices([
        "in",
        "out",
      ]),
    )
    .action(async (name: string, options: { oneWay?: Cut }) => {
      await openedLab()
        .host(name)
        .cut(options.oneWay ?? "both");
      say(`${name}: cut (${options.oneWay ?? "both ways"})`);
    });
  const simple = [
    ["heal", "end a cut", "connected again", (host) => host.heal()],
    ["kill", "SIGKILL everything of the host at once; it stays off", "off", (host) => host.kill()],
    ["start", "start a host that is off", "running, its engine answers", (host) => host.start()],
    [
      "power-cycle",
      "kill, forget what was in memory, start",
      "running, its engine answers",
      (host) => host.powerCycle(),
    ],
  ] as const satisfies readonly (readonly [
    string,
    string,
    string,
    (host: ReturnType<Lab["host"]>) => Promise<void>,
  ])[];
  for (const [verb, description, after, act] of simple) {
    lab
      .command(`${verb} <host>`)
      .description(description)
      .action(async (name: string) => {
        await act(openedLab().host(name));
        say(`${name}: ${after}`);
      });
  }
}

function registerExec(lab: Command): void {
  lab
    .command("exec <host> <command...>")
    .description("run a command inside a host; DOCKER_HOST is set")
    .addHelpText("after", "\nExamples:\n  berth lab exec h1 -- docker ps\n  berth lab exec h1 -- ip route")
    .action((name: string, command: string[]) => {
      const [program = "", ...args] = [...openedLab().host(name).enter(), ...command];
      const { status, error } = spawnSync(program, args, { stdio: "inherit" });
      if (error !== undefined) throw error;
      process.exitCode = status ?? 1;
    });
}

function printStatus(status: LabStatus | null): void {
  if (status === null) {
    process.stdout.write("no lab here: 'berth lab up' makes one\n");
    return;
  }
  process.stdout.write(`lab ${status.index}, this machine is ${status.machineAddress} to its hosts\n`);
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

function openedLab(): Lab {
  const lab = openLab(stateDir());
  if (lab === null) throw new Error(`${stateDir()} has no lab: 'berth lab up' makes one`);
  return lab;
}

function stateDir(): string {
  return process.env.BERTH_STATE_DIR ?? "/var/lib/berth";
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError("a whole number is needed");
  return value;
}
