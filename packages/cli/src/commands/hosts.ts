/** `berth hosts` for the pod's hosts, and the group `berth host` for this machine. */
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { Command } from "commander";
import type { Answer } from "../client.ts";
import { clean } from "../output/clean.ts";
import { print, printJson, printTable, say } from "../output/print.ts";
import { age, table } from "../output/table.ts";
import { connect } from "../session/context.ts";
import type { CommonFlags } from "./common.ts";
import { examples, wholeNumber, withJson } from "./common.ts";
import { policyWords, registerPolicyCommands } from "./host-policy.ts";
import { registerHostShowCommands, troubles } from "./host-show.ts";

export function registerHostCommands(program: Command): void {
  const hosts = program.command("hosts").description("the pod's machines (operators)");
  examples(
    withJson(hosts.command("list")).description("hosts with their standing bids").action(listHosts),
    "berth hosts list",
  );
  registerHostShowCommands(hosts);
  registerPolicyCommands(hosts);
  examples(
    withJson(hosts.command("token"))
      .description("a one-time token with which one machine joins")
      .option("--minutes <count>", "how long it may be used", wholeNumber(1, 1440), 60)
      .option("--pod <name>", "the pod that the machine joins", "main")
      .option("--zone <name>", "its zone, unless the machine names another one")
      .action(createToken),
    "berth hosts token",
    "berth hosts token --pod eu-2 --zone b",
    "berth host join --api http://10.0.0.5:7420 --token $(berth hosts token) --name h2 --address 10.0.0.6",
  );
}

async function listHosts(flags: CommonFlags): Promise<void> {
  const reply = await (await connect()).call("listHosts", {});
  if (flags.json === true) return printJson(reply);
  type Host = Answer<"listHosts">["hosts"][number];
  const nowMs = Date.now();
  const free = (freeBytes: number | undefined, totalBytes: number | undefined) =>
    freeBytes === undefined || totalBytes === undefined
      ? null
      : `${formatBytes(freeBytes)} of ${formatBytes(totalBytes)}`;
  const columns = [
    { title: "HOST", cell: (h: Host) => clean(h.name) },
    { title: "STATE", cell: (h: Host) => h.state },
    {
      title: "HEARD",
      align: "right" as const,
      cell: (h: Host) => (h.lastHeartbeatAt === null ? null : age(Date.parse(h.lastHeartbeatAt), nowMs)),
    },
    { title: "ADDRESS", cell: (h: Host) => h.nodeAddress },
    { title: "SUBNET", cell: (h: Host) => h.subnet },
    { title: "POD", cell: (h: Host) => h.pod },
    { title: "ZONE", cell: (h: Host) => clean(h.zone) },
    { title: "JOBS", align: "right" as const, cell: (h: Host) => h.jobsCount },
    {
      title: "FREE RAM",
      align: "right" as const,
      cell: (h: Host) => free(h.bid?.memoryFreeBytes, h.bid?.memoryTotalBytes),
    },
    {
      title: "FREE DISK",
      align: "right" as const,
      cell: (h: Host) => free(h.bid?.diskFreeBytes, h.bid?.diskTotalBytes),
    },
    { title: "ENGINE", cell: (h: Host) => (h.engineVersion === null ? null : clean(h.engineVersion)) },
    {
      title: "",
      cell: (h: Host) => [...policyWords(h), ...troubles(h)].map(clean).join(", "),
    },
  ];
  printTable(
    table(columns, reply.hosts),
    "no host has joined; on a machine: berth host join --token $(berth hosts token) …",
  );
}

async function createToken(
  flags: CommonFlags & { minutes: number; pod: string; zone?: string },
): Promise<void> {
  const zone = flags.zone === undefined ? {} : { zone: flags.zone };
  const body = { lifetimeMinutes: flags.minutes, pod: flags.pod, ...zone };
  const reply = await (await connect()).call("createJoinToken", { body });
  if (flags.json === true) return printJson(reply);
  print(reply.token);
  say(`for one machine of the pod ${reply.pod}, until ${reply.expiresAt}`);
}
