/** `berth hosts show` and `berth hosts top`: one host closely, and all of them as they are right now. */
import { setTimeout as delay } from "node:timers/promises";
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { Command } from "commander";
import type { Answer, Client } from "../client.ts";
import { ConnectionError } from "../client.ts";
import { renderHost, usedBar } from "../core/render-host.ts";
import { clean } from "../output/clean.ts";
import { printJson, printJsonLine, printLines } from "../output/print.ts";
import type { Column } from "../output/table.ts";
import { age, table } from "../output/table.ts";
import { connect } from "../session/context.ts";
import type { CommonFlags } from "./common.ts";
import { examples, withJson } from "./common.ts";
import { policyWords } from "./host-policy.ts";

type Host = Answer<"listHosts">["hosts"][number];
type Usage = Answer<"hostUsage">["jobs"][number];

interface TopFlags extends CommonFlags {
  readonly once?: boolean;
}

const REFRESH_MS = 2000;

export function registerHostShowCommands(hosts: Command): void {
  examples(
    withJson(hosts.command("show <host>"))
      .description("one host: identity, policy, bid, ceilings, alarms, recovery, jobs")
      .action(show),
    "berth hosts show h2",
  );
  examples(
    withJson(hosts.command("top [host]"))
      .description("what hosts have left, or what each job of one host uses; on a terminal every 2 s anew")
      .option("--once", "print once and end")
      .action(top),
    "berth hosts top",
    "berth hosts top h2 --once",
  );
}

async function show(name: string, flags: CommonFlags): Promise<void> {
  const details = await (await connect()).call("showHost", { params: { host: name } });
  if (flags.json === true) return printJson(details);
  printLines(renderHost(details, policyWords(details.host), Date.now(), clean));
}

/** A look: what is printed as JSON, and the same as lines. */
interface Look {
  readonly data: unknown;
  readonly lines: readonly string[];
}

async function top(name: string | undefined, flags: TopFlags): Promise<void> {
  const client = await connect();
  const look = () => (name === undefined ? lookAtHosts(client) : lookAtJobs(client, name));
  const live = flags.once !== true && process.stdout.isTTY === true;
  if (!live) {
    const { data, lines } = await look();
    if (flags.json === true) return printJson(data);
    return printLines(lines);
  }
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  while (!interrupt.signal.aborted) {
    const seen = await look().catch((error: unknown): Look => {
      if (!(error instanceof ConnectionError)) throw error;
      return { data: { error: error.message }, lines: [error.message, "trying again"] };
    });
    if (flags.json === true) printJsonLine(seen.data);
    else redraw(seen.lines);
    await delay(REFRESH_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
  }
}

/** From the upper left corner over what is there, so that nothing flickers. */
function redraw(lines: readonly string[]): void {
  // A terminal without a size of its own tells 0.
  const rows = Math.max(1, (process.stdout.rows || 50) - 1);
  const columns = process.stdout.columns || 200;
  const shown = lines.slice(0, rows).map((line) => `${line.slice(0, columns)}\u001b[K`);
  process.stdout.write(`\u001b[H${shown.join("\n")}\u001b[J`);
}

async function lookAtHosts(client: Client): Promise<Look> {
  const data = await client.call("listHosts", {});
  const nowMs = Date.now();
  const bar = (free: number | undefined, total: number | undefined) =>
    free === undefined || total === undefined ? null : usedBar(total - free, total, 12);
  const columns: Column<Host>[] = [
    { title: "HOST", cell: (h) => clean(h.name) },
    { title: "POD", cell: (h) => h.pod },
    { title: "ZONE", cell: (h) => clean(h.zone) },
    { title: "STATE", cell: (h) => h.state },
    { title: "RAM", cell: (h) => bar(h.bid?.memoryFreeBytes, h.bid?.memoryTotalBytes) },
    {
      title: "FREE",
      align: "right",
      cell: (h) => (h.bid === null ? null : formatBytes(h.bid.memoryFreeBytes)),
    },
    { title: "DISK", cell: (h) => bar(h.bid?.diskFreeBytes, h.bid?.diskTotalBytes) },
    {
      title: "FREE",
      align: "right",
      cell: (h) => (h.bid === null ? null : formatBytes(h.bid.diskFreeBytes)),
    },
    { title: "SLOTS", cell: (h) => bar(h.bid?.jobSlotsFree, h.bid?.jobSlotsTotal) },
    { title: "JOBS", align: "right", cell: (h) => h.jobsCount },
    { title: "STARTING", align: "right", cell: (h) => h.bid?.startingCount ?? null },
    {
      title: "HEARD",
      align: "right",
      cell: (h) => (h.lastHeartbeatAt === null ? null : age(Date.parse(h.lastHeartbeatAt), nowMs)),
    },
    { title: "", cell: (h) => [...policyWords(h), ...troubles(h)].map(clean).join(", ") },
  ];
  const sorted = data.hosts.toSorted(byNeed);
  return { data, lines: table(columns, sorted) };
}

export function troubles(host: Host): string[] {
  return [...(host.bid?.unavailable ?? []), ...host.alarms.map(({ code }) => code)].map(
    (code) => `! ${code}`,
  );
}

/** Who needs a look first: not alive, with trouble, then the fullest. */
function byNeed(a: Host, b: Host): number {
  const need = (h: Host) => (h.state === "alive" ? 0 : 2) + (troubles(h).length > 0 ? 1 : 0);
  const free = (h: Host) =>
    h.bid === null ? 0 : h.bid.memoryFreeBytes / Math.max(1, h.bid.memoryTotalBytes);
  return need(b) - need(a) || free(a) - free(b) || (a.name < b.name ? -1 : 1);
}

async function lookAtJobs(client: Client, name: string): Promise<Look> {
  const data = await client.call("hostUsage", { params: { host: name } });
  const columns: Column<Usage>[] = [
    { title: "ORG", cell: (job) => clean(job.org) },
    { title: "SERVICE", cell: (job) => clean(job.service) },
    { title: "INSTANCE", cell: (job) => clean(job.instance) },
    { title: "CPU", align: "right", cell: (job) => `${(job.cpuMillis / 10).toFixed(1)} %` },
    {
      title: "MEMORY",
      cell: (job) =>
        job.memoryLimitBytes === null ? null : usedBar(job.memoryBytes, job.memoryLimitBytes, 12),
    },
    { title: "USED", align: "right", cell: (job) => formatBytes(job.memoryBytes) },
    {
      title: "LIMIT",
      align: "right",
      cell: (job) => (job.memoryLimitBytes === null ? null : formatBytes(job.memoryLimitBytes)),
    },
    { title: "PROCESSES", align: "right", cell: (job) => job.processesCount },
  ];
  const sorted = data.jobs.toSorted((a, b) => b.cpuMillis - a.cpuMillis || b.memoryBytes - a.memoryBytes);
  const lines = sorted.length === 0 ? ["nothing runs there"] : table(columns, sorted);
  return { data, lines: [`${clean(name)} at ${new Date(data.atMs).toISOString()}`, ...lines] };
}
