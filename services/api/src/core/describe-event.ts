/** An event of the history in one sentence. Foreign text in it (reasons, names) is one line, cut short. */
import { z } from "zod";

export interface EventFacts {
  readonly kind: string;
  readonly host: string | null;
  readonly instance: string | null;
  readonly deployId: string | null;
  readonly actor: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

const Details = z.looseObject({
  reasonCode: z.string().optional().catch(undefined),
  reason: z.string().optional().catch(undefined),
  name: z.string().optional().catch(undefined),
  exitCode: z.number().optional().catch(undefined),
  pods: z.array(z.string()).optional().catch(undefined),
  unavailable: z.array(z.string()).optional().catch(undefined),
  alarms: z
    .array(z.object({ code: z.string(), detail: z.string().default("") }))
    .optional()
    .catch(undefined),
});

const MOST_CHARACTERS = 400;

export function describeEvent(event: EventFacts): string {
  const [what = "", ...rest] = event.kind.split(".");
  const step = rest.join(".");
  const told = Details.safeParse(event.details);
  const details = told.success ? told.data : {};
  return sentence(what, step, event, details).slice(0, MOST_CHARACTERS);
}

type Told = z.infer<typeof Details>;

function sentence(what: string, step: string, event: EventFacts, details: Told): string {
  if (what === "job") return describeJob(step, event, details);
  if (what === "deploy") return `the deploy ${event.deployId ?? ""} is ${step}${why(details)}`;
  if (what === "task") return describeTask(step, event, details);
  if (what === "host") return describeHost(step, event.host ?? "a host that was removed", details);
  if (what === "evictions") {
    const pods = (details.pods ?? []).join(", ");
    return step === "frozen"
      ? `no job is declared lost in ${pods}: ${details.reason ?? ""}`
      : "hosts are judged as always again";
  }
  if (what === "sleep") return describeSleep(step, event.details);
  if (what === "scale") return describeScale(event.details);
  if (what === "act") return `${event.actor ?? "somebody"}: ${step}${settings(event.details)}`;
  return `${event.kind}${why(details)}`;
}

function describeJob(step: string, { instance, host }: EventFacts, details: Told): string {
  const name = instance ?? "a job";
  const on = host === null ? "" : ` on ${host}`;
  switch (step) {
    case "requested":
      return host === null ? `${name} is wanted` : `${name} goes back to the auction, from ${host}`;
    case "awarded":
      return `${name} goes to ${host ?? "a host"}`;
    case "accepted":
      return `${host ?? "its host"} took ${name}`;
    case "preparing":
      return `${name}${on}: fetching the image and the secrets`;
    case "ready":
      return `${name}${on} is ready`;
    case "leaving":
      return `${name} leaves ${host ?? "its host"}: its slot goes to another job first`;
    case "lost":
      return `${name} is lost: ${host ?? "its host"} went silent`;
    case "unplaceable":
      return `no host takes ${name}: ${details.reason ?? ""}`;
    case "finished":
      return `${name}${on} ended`;
    default:
      return `${name}${on} is ${step}${why(details)}`;
  }
}

function describeTask(step: string, { instance }: EventFacts, details: Told): string {
  const name = `${instance ?? "a task"}${details.name === undefined ? "" : ` (${details.name})`}`;
  return step === "succeeded" ? `${name} ended well` : `${name} is ${step}${why(details)}`;
}

const Scale = z.looseObject({ process: z.string(), from: z.number(), to: z.number(), reason: z.string() });

function describeScale(told: EventFacts["details"]): string {
  const read = Scale.safeParse(told);
  if (!read.success) return "a count followed its load";
  const { process, from, to, reason } = read.data;
  return `${process} goes from ${from} to ${to}: ${reason}`;
}

const Sleep = z.looseObject({
  level: z.string().catch("stopped"),
  cause: z.string().catch("asked"),
  coldStartMs: z.number().optional().catch(undefined),
});

function describeSleep(step: string, told: EventFacts["details"]): string {
  const { level, cause, coldStartMs } = Sleep.parse(told);
  const because = cause === "idle" ? "nobody asked for it" : "it was ordered";
  switch (step) {
    case "falling":
      return `the service falls asleep (${level}): ${because}`;
    case "asleep":
      return `the service sleeps (${level}) until its next request`;
    case "waking":
      return "the service wakes";
    default:
      return coldStartMs === undefined
        ? "the service stays awake"
        : `the service is awake after ${coldStartMs} ms`;
  }
}

function describeHost(step: string, host: string, details: Told): string {
  switch (step) {
    case "first-heard":
      return `${host} was heard for the first time`;
    case "booted":
      return `${host} booted`;
    case "agent-started":
      return `the agent of ${host} started`;
    case "alarms": {
      const alarms = (details.alarms ?? []).map(({ code, detail }) =>
        detail === "" ? code : `${code} (${detail})`,
      );
      const words = [...(details.unavailable ?? []), ...alarms];
      return words.length === 0 ? `${host} has no alarm any more` : `${host}: ${words.join(", ")}`;
    }
    case "identity-cloned":
      return `two machines speak as ${host}${why(details)}`;
    default:
      return `${host} is ${step}${why(details)}`;
  }
}

function why({ reasonCode, reason, exitCode }: Told): string {
  const words = [reasonCode, reason].filter((word) => word !== undefined);
  if (words.length > 0) return `: ${words.join(": ")}`;
  return exitCode === undefined ? "" : `, exit code ${exitCode}`;
}

/** An act's details name what changed and never hold a secret. */
function settings(details: Readonly<Record<string, unknown>>): string {
  const words = Object.entries(details)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return words.length === 0 ? "" : `, ${words.join(", ")}`;
}
