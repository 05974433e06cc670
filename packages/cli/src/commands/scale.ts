/** `berth scale`. */
import { formatBytes, parseBytes } from "@berth/shared/domain/resources.ts";
import type { Command } from "commander";
import type { Answer, Client } from "../client.ts";
import type { ServiceAddress } from "../core/parse-remote.ts";
import type { ScaleRequest } from "../core/parse-scale.ts";
import { parseCpus, parseScale } from "../core/parse-scale.ts";
import { print, printJson, say } from "../output/print.ts";
import { CliError, EXIT, usageError } from "../session/cli-error.ts";
import { connect, findService } from "../session/context.ts";
import type { EnvFlags } from "./common.ts";
import { examples, withEnv } from "./common.ts";

interface ScaleFlags extends EnvFlags {
  readonly memory?: string;
  readonly cpu?: string;
  readonly disk?: string;
  readonly health?: string;
}

export function registerScaleCommand(program: Command): void {
  examples(
    withEnv(program.command("scale [service] [process=count...]"))
      .description("set how many of each process run, and how large they are; alone it shows what is set")
      .option("-m, --memory <size>", "memory of each named process, such as 512MB; a new release")
      .option("--cpu <count>", "CPUs of each named process, such as 0.5; a new release")
      .option(
        "--disk <size>",
        "disk kept free for each named process's own files, such as 1GB; a new release",
      )
      .option(
        "--health <path>",
        "path that answers 2xx or 3xx when ready, or `none` for a TCP connect; a new release",
      )
      .action(scale),
    "berth scale shop web=3",
    "berth scale shop web=+1 worker=2",
    "berth scale shop web=1 --memory 512MB",
  );
}

async function scale(first: string | undefined, rest: readonly string[], flags: ScaleFlags): Promise<void> {
  const words = first === undefined ? [] : [first, ...rest];
  const [name, ...others] = words[0]?.includes("=") === true ? [undefined, ...words] : words;
  const requests = others.map((text) => {
    const parsed = parseScale(text ?? "");
    if (parsed === null)
      throw usageError(
        `${JSON.stringify(text)} is not PROCESS=COUNT`,
        "Write it like web=3, worker=+1 or worker=-1.",
      );
    return parsed;
  });
  const sizes = readSizes(flags);
  if (requests.length === 0 && Object.keys(sizes).length > 0)
    throw usageError(
      "which process should have that size?",
      "Name it with its count: berth scale shop web=1 --memory 512MB",
    );
  const client = await connect();
  const params = await findService(client, name, flags.env);
  const needed = requests.length === 0 || requests.some((request) => request.relative);
  const current = needed ? (await client.call("showService", { params })).processes : [];
  if (requests.length === 0) return show({ processes: current, deployId: null }, flags);
  await send(
    client,
    params,
    flags,
    requests.map((request) => ({ process: request.process, scale: countOf(request, current), ...sizes })),
  );
}

async function send(
  client: Client,
  params: ServiceAddress,
  flags: ScaleFlags,
  processes: { process: string; scale: number }[],
): Promise<void> {
  const reply = await client.call("scaleService", { params, body: { processes } });
  show(reply, flags);
  if (flags.json !== true && reply.deployId !== null)
    say(`new sizes need new containers; follow them with: berth deploys watch ${reply.deployId}`);
}

function countOf(
  { process, amount, relative }: ScaleRequest,
  current: Answer<"scaleService">["processes"],
): number {
  if (!relative) return amount;
  const before = current.find((setting) => setting.process === process);
  if (before === undefined)
    throw new CliError(`there is no process named ${process}`, {
      exitCode: EXIT.notFound,
      next: "See `berth services show`.",
    });
  return Math.max(0, before.scale + amount);
}

function readSizes(flags: ScaleFlags): {
  memoryBytes?: number;
  cpuMillis?: number;
  diskBytes?: number;
  healthPath?: string | null;
} {
  const memoryBytes = flags.memory === undefined ? undefined : parseBytes(flags.memory);
  if (memoryBytes === null)
    throw usageError(`${JSON.stringify(flags.memory)} is not a size`, "Write it like 512MB or 1.5GB.");
  const cpuMillis = flags.cpu === undefined ? undefined : parseCpus(flags.cpu);
  if (cpuMillis === null)
    throw usageError(`${JSON.stringify(flags.cpu)} is not a number of CPUs`, "Write it like 0.5 or 2.");
  const diskBytes = flags.disk === undefined ? undefined : parseBytes(flags.disk);
  if (diskBytes === null)
    throw usageError(`${JSON.stringify(flags.disk)} is not a size`, "Write it like 512MB or 1.5GB.");
  const healthPath = flags.health === "none" ? null : flags.health;
  return {
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(cpuMillis === undefined ? {} : { cpuMillis }),
    ...(diskBytes === undefined ? {} : { diskBytes }),
    ...(healthPath === undefined ? {} : { healthPath }),
  };
}

function show(reply: Answer<"scaleService">, flags: EnvFlags): void {
  if (flags.json === true) {
    printJson(reply);
    return;
  }
  for (const p of reply.processes) {
    print(
      `${p.process}=${p.scale}  ${formatBytes(p.memoryBytes)}, ${p.cpuMillis / 1000} CPU, disk ${formatBytes(p.diskBytes)}${p.healthPath === null ? "" : `, health ${p.healthPath}`}`,
    );
  }
}
