/** A host for people: who it is, what it offers, what is wrong with it, what it runs. Pure; foreign text is cleaned. */
import { formatBytes } from "@berth/shared/domain/resources.ts";
import type { Answer } from "../client.ts";
import type { Column } from "../output/table.ts";
import { age, table } from "../output/table.ts";

export type HostDetails = Answer<"showHost">;
type Job = HostDetails["jobs"][number];
type Clean = (text: string) => string;

const WIDTH = 20;

/** `[████████············]`: the share that is used. */
export function usedBar(used: number, total: number, width = WIDTH): string {
  const share = total > 0 ? Math.min(1, Math.max(0, used / total)) : 0;
  const filled = Math.round(share * width);
  return `[${"█".repeat(filled)}${"·".repeat(width - filled)}]`;
}

export function renderHost(
  details: HostDetails,
  words: readonly string[],
  nowMs: number,
  clean: Clean,
): string[] {
  const { host, identity, jobs } = details;
  const heard =
    host.lastHeartbeatAt === null ? "never" : `${age(Date.parse(host.lastHeartbeatAt), nowMs)} ago`;
  return [
    `${clean(host.name)}  ${host.state}, heard ${heard}`,
    "",
    ...field("pod, zone", `${host.pod}, ${clean(host.zone)}`),
    ...field("address", `${host.nodeAddress}, containers ${host.subnet}`),
    ...field("id", host.id),
    ...field("key", identity.agentKey),
    ...field("policy", words.length === 0 ? "takes work of everybody" : words.map(clean).join(", ")),
    ...field("joined", host.joinedAt),
    ...field("agent", agentWords(identity, nowMs, clean)),
    ...field("engine", host.engineVersion === null ? "unknown" : clean(host.engineVersion)),
    ...cloneLines(identity, nowMs, clean),
    ...alarmLines(host, clean),
    ...bidLines(host.bid, details.startLimit, clean),
    ...recoveryLines(details.recovery, nowMs, clean),
    "",
    ...(jobs.length === 0 ? ["it runs nothing"] : jobTable(jobs, nowMs, clean)),
  ];
}

function field(name: string, value: string): string[] {
  return [`  ${name.padEnd(19)}${value}`];
}

function agentWords(
  { agentVersion, agentStartedAtMs }: HostDetails["identity"],
  nowMs: number,
  clean: Clean,
): string {
  const since = agentStartedAtMs === null ? "" : `, started ${age(agentStartedAtMs, nowMs)} ago`;
  return `${clean(agentVersion ?? "unknown")}${since}`;
}

function cloneLines({ cloned }: HostDetails["identity"], nowMs: number, clean: Clean): string[] {
  if (cloned === null) return [];
  return [
    "",
    `  TWO MACHINES speak with this host's credentials since ${age(cloned.sinceMs, nowMs)}; it gets no work`,
    ...cloned.instances.map(
      ({ machine, taken, lastHeardMs }) =>
        `    ${clean(machine)}, heard ${age(lastHeardMs, nowMs)} ago, ${taken ? "taken as the host" : "not listened to"}`,
    ),
    "    stop one of them, then say that the other is the host: berth hosts uncordon",
  ];
}

function alarmLines({ alarms, bid }: HostDetails["host"], clean: Clean): string[] {
  const all = [
    ...alarms.map(({ code, detail }) => `${code}: ${detail}`),
    ...(bid?.unavailable ?? []).map((code) => `${code}: it takes no work because of this`),
  ];
  return all.length === 0
    ? []
    : ["", ...all.flatMap((text, i) => field(i === 0 ? "alarms" : "", clean(text)))];
}

function bidLines(bid: HostDetails["host"]["bid"], startLimit: number | null, clean: Clean): string[] {
  if (bid === null) return ["", "  it has made no bid"];
  const line = (name: string, free: number, total: number, show: (value: number) => string) =>
    field(
      name,
      `${usedBar(total - free, total)} ${show(Math.max(0, total - free))} of ${show(total)} used, ${show(free)} free`,
    );
  const count = (value: number) => String(value);
  const limit = startLimit === null ? "" : `, at most ${startLimit}`;
  return [
    "",
    ...line("memory", bid.memoryFreeBytes, bid.memoryTotalBytes, formatBytes),
    ...line("disk", bid.diskFreeBytes, bid.diskTotalBytes, formatBytes),
    ...line("job slots", bid.jobSlotsFree, bid.jobSlotsTotal, count),
    ...field("cpu", `${bid.cpuTotalMillis / 1000} CPUs, ${bid.cpuFreeMillis / 1000} not promised`),
    ...field("starting", `${bid.startingCount}${limit}`),
    ...field("runtimes", bid.runtimes.map(clean).join(", ")),
    ...bid.ceilings.flatMap(({ name, free, total, perJob }) =>
      field(name, `${usedBar(total - free, total)} ${total - free} of ${total} used, a job takes ${perJob}`),
    ),
  ];
}

function recoveryLines(recovery: HostDetails["recovery"], nowMs: number, clean: Clean): string[] {
  if (recovery === null) return [];
  const { atMs, cause, jobs, adopted, restarted, removed, readyAfterMs, problems = [] } = recovery;
  const counts = Object.entries({ jobs, adopted, restarted, removed })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value}`);
  const when = atMs === undefined ? "" : `${age(atMs, nowMs)} ago`;
  const ready = readyAfterMs === undefined ? "" : `ready after ${(readyAfterMs / 1000).toFixed(1)} s`;
  const words = [when, cause === undefined ? "" : clean(cause), ...counts, ready].filter(
    (word) => word !== "",
  );
  return ["", ...field("recovery", words.join(", ")), ...problems.flatMap((text) => field("", clean(text)))];
}

function jobTable(jobs: readonly Job[], nowMs: number, clean: Clean): string[] {
  const columns: Column<Job>[] = [
    { title: "SERVICE", cell: (job) => clean(`${job.org}/${job.environment}/${job.service}`) },
    { title: "INSTANCE", cell: (job) => `${clean(job.process)}.${job.slot}` },
    { title: "RELEASE", cell: (job) => `v${job.release}` },
    { title: "STATE", cell: (job) => `${job.state}${job.ready ? ", ready" : ""}` },
    { title: "TRAFFIC", cell: (job) => (job.inRotation ? "yes" : "no") },
    { title: "MEMORY", align: "right", cell: (job) => formatBytes(job.memoryBytes) },
    { title: "RESTARTS", align: "right", cell: (job) => job.restartsCount },
    { title: "SINCE", align: "right", cell: (job) => age(job.sinceMs, nowMs) },
    { title: "", cell: (job) => leavingWords(job, clean) },
  ];
  return table(columns, jobs);
}

export function leavingWords({ leaving, successor }: Job, clean: Clean): string {
  if (!leaving) return "";
  if (successor === null) return "leaves";
  if (successor.host !== null) return `leaves for ${clean(successor.host)} (${successor.state})`;
  return successor.waitsFor === null
    ? "leaves, its successor waits"
    : `cannot leave: ${clean(successor.waitsFor)}`;
}
